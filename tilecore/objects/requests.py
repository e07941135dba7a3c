"""Requests to object stores: tried again if that may help, and otherwise ended by one clear error."""

from __future__ import annotations

import contextlib
import errno
import logging
import math
import os
import random
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from tilecore.errors import MissingFileError, ObjectStoreError, ParameterError
from tilecore.objects.urls import is_read_only, scheme_of, without_secrets

__all__ = ["PATIENCE_VARIABLE", "NoSuchObjectError", "ask", "bucket_of", "store_patience", "tidying"]

_log = logging.getLogger(__name__)

#: Variable of the environment: for how long a request is tried again [s].
PATIENCE_VARIABLE = "TILECORE_STORE_SECONDS"

# How long, if the variable is not set; the first pause between two tries, and the longest one [s].
_PATIENCE_SECONDS, _FIRST_PAUSE, _LONGEST_PAUSE = 60.0, 0.1, 5.0

# Codes of S3, status numbers of HTTP, numbers of the system and names of errors that pass by themselves.
_PASSING_CODES = {
    "InternalError",
    "OperationAborted",
    "RequestLimitExceeded",
    "RequestTimeout",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
}
_PASSING_STATUS = {408, 425, 429, 500, 502, 503, 504}
_PASSING_NUMBERS = {errno.EBUSY, errno.EIO, errno.ENETUNREACH, errno.EHOSTUNREACH, getattr(errno, "EREMOTEIO", -1)}
_PASSING_NAMES = {
    "ClientConnectionError",
    "ClientPayloadError",
    "ConnectionError",
    "HTTPClientError",
    "ResponseParserError",
    "TimeoutError",
}
_LASTING = (FileNotFoundError, ImportError, IsADirectoryError, NotADirectoryError, PermissionError)
_WITHOUT_CREDENTIALS = {"CredentialRetrievalError", "NoCredentialsError", "PartialCredentialsError"}
_UNKNOWN_CREDENTIALS = {"AuthorizationHeaderMalformed", "ExpiredToken", "InvalidAccessKeyId", "SignatureDoesNotMatch"}

# When buckets have not answered at last, and for how long each further request to them is tried once [s]. Otherwise a
# run that ends as its store is gone would wait for it again and again.
_silent: dict[str, float] = {}
_SILENT_SECONDS = 30.0

Answer = TypeVar("Answer")


class NoSuchObjectError(Exception):
    """There is no object of this key, though there may be a bucket; whoever asks turns it into an answer."""


def ask(url: str, request: Callable[[], Answer], doing: str = "read") -> Answer:
    """Ask an object store, again and again if the error may pass: with pauses that grow, and differ by chance.

    Parameters
    ----------
    url : str
        What is asked for, for messages.
    request : callable
        Asks the store once.
    doing : str
        What is done there: read, written, ...

    Raises
    ------
    NoSuchObjectError
        If there is no such object.
    MissingFileError
        If there is no such bucket.
    ObjectStoreError
        If the store denies the request, or has not answered for as long as `store_patience`.
    """
    begun, n_tries, pause, bucket = time.monotonic(), 0, _FIRST_PAUSE, bucket_of(url)
    patience = store_patience()
    if begun - _silent.get(bucket, -math.inf) < _SILENT_SECONDS:
        patience = 0
    while True:
        n_tries += 1
        try:
            answer = request()
            _silent.pop(bucket, None)
            return answer
        except Exception as error:
            waited = time.monotonic() - begun
            if not _may_pass(error):
                told, cause = _lasting(error, url, doing), _shown(error)
                break
            if waited + pause > patience:
                _silent[bucket] = time.monotonic()
                told, cause = _without_answer(error, url, doing, waited, n_tries), _shown(error)
                break
            _log.info("%s: try %d failed: %s", url, n_tries, _text(error))
        time.sleep(pause * random.uniform(0.5, 1))
        pause = min(2 * pause, _LONGEST_PAUSE)
    try:
        raise told from cause  # here, where it is not also in the context of an error that is not to be shown
    finally:
        del told, cause  # which refer to this frame


@contextlib.contextmanager
def tidying(url: str) -> Iterator[None]:
    """Remove what is of no use any more, if the store lets it: if not, a warning tells it, and the error that led here.

    Parameters
    ----------
    url : str
        What may be left.
    """
    try:
        yield
    except (ObjectStoreError, MissingFileError) as error:
        _log.warning("%s may be left, as it could not be removed or closed: %s", url, error)


def store_patience() -> float:
    """How long a request is tried again, by the environment or by default [s].

    Raises
    ------
    ParameterError
        If the variable is not a number of seconds.
    """
    text = os.environ.get(PATIENCE_VARIABLE, "").strip()
    try:
        seconds = float(text) if text else _PATIENCE_SECONDS
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise ParameterError.of(PATIENCE_VARIABLE, text, "must be a number of seconds, such as 60")
    return seconds


def bucket_of(url: str) -> str:
    """URL of the bucket or the host that holds an object."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}"


def _code(error: BaseException) -> str:
    """Code that S3 gives an error, also one that s3fs has translated; empty if there is none."""
    for each in (error, error.__cause__):
        response = getattr(each, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code", ""))
    return ""


def _status(error: Exception) -> int | None:
    """Number of an answer of HTTP, by the name that it has in aiohttp or in gcsfs; None if there was no answer."""
    found = getattr(error, "status", None)
    if found is None and not hasattr(type(error), "code"):
        found = getattr(error, "code", None)
    return int(str(found)) if str(found).isdigit() else None


def _may_pass(error: Exception) -> bool:
    """Whether the same request may succeed later."""
    if _code(error) in _PASSING_CODES:
        return True
    if (status := _status(error)) is not None:
        return status in _PASSING_STATUS
    if isinstance(error, _LASTING):
        return False
    if isinstance(error, OSError) and error.errno in _PASSING_NUMBERS:
        return True
    return bool(_PASSING_NAMES.intersection(kind.__name__ for kind in type(error).__mro__))


def _lasting(error: Exception, url: str, doing: str) -> Exception:
    """What to raise for an error that does not pass."""
    name, code, status = type(error).__name__, _code(error), _status(error)
    if code == "NoSuchBucket":
        remedy = "check its name, the region, and the endpoint (FSSPEC_S3_ENDPOINT_URL)"
        return MissingFileError(f"{url} cannot be {doing}: there is no bucket {bucket_of(url)}; {remedy}")
    if name in _WITHOUT_CREDENTIALS:
        return ObjectStoreError(f"{url} cannot be {doing}: there are no credentials; {_credentials(url)}")
    if code in _UNKNOWN_CREDENTIALS or status == 401:
        return ObjectStoreError(f"{url} cannot be {doing}: the store does not accept the credentials; set others")
    if isinstance(error, PermissionError) or status == 403:
        what = "this store is read-only" if is_read_only(url) else "check the credentials, and what they allow"
        return ObjectStoreError(f"{url} cannot be {doing}: access is denied; {what}")
    if isinstance(error, FileNotFoundError):
        return NoSuchObjectError(url)
    return ObjectStoreError(f"{url} cannot be {doing}: {_text(error)}")


def _without_answer(error: Exception, url: str, doing: str, waited: float, n_tries: int) -> ObjectStoreError:
    tries = "1 try" if n_tries == 1 else f"{n_tries} tries in {waited:.0f} s"
    return ObjectStoreError(
        f"{url} cannot be {doing}: the store gave no answer ({tries}; the last: {_text(error)}). Check the network and "
        f"the endpoint, or wait longer by {PATIENCE_VARIABLE}"
    )


def _credentials(url: str) -> str:
    if scheme_of(url) in ("s3", "s3a"):
        keys = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
        return f"set {keys}; public data need FSSPEC_S3_ANON=true alone"
    return "set them as fsspec's package for this store tells"


def _shown(error: BaseException) -> BaseException | None:
    """An error that may be printed as the cause of another; None if it, or what led to it, tells secrets."""
    seen, left = set[int](), [error]
    while left:
        each = left.pop()
        if without_secrets(str(each)) != str(each):
            return None
        seen.add(id(each))
        left += [other for other in (each.__cause__, each.__context__) if other is not None and id(other) not in seen]
    return error


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {without_secrets(str(error))[:200]}"
