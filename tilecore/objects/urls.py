"""URLs of object stores: what is one, what it may hold, and how it is named in messages."""

from __future__ import annotations

import os
import re
from pathlib import PurePath

from tilecore.errors import ParameterError

__all__ = ["absolute", "checked_path", "is_of_one_process", "is_read_only", "is_url", "scheme_of", "without_secrets"]

# A scheme has no dot here: file.h5://path names a dataset in a file.
_URL = re.compile(r"([a-z][a-z0-9+-]+)://.*", re.IGNORECASE | re.DOTALL)
# A URL that a Path has taken for the name of a file, and so has lost a slash.
_BROKEN = re.compile(r"(s3|s3a|gs|gcs|az|abfss?|memory|https?):/[^/]", re.IGNORECASE)
# What may hold credentials: a user's name and password before the host, and what stands behind a question mark. A
# password may hold a slash, as keys of S3 do; what begins with a number, and then has a slash, is a port and a path.
_USER = re.compile(r"(?:[a-z][a-z0-9+-]*:)?//(?!arn:)(?:[^/@:\s]*:(?![0-9]+/)\S*|[^/@\s]*)@", re.IGNORECASE)
_QUERY = re.compile(r"\?\S*")
# What stands before the host of Azure's storage is no user, but what others call a bucket.
_CONTAINER = re.compile(r"(?:az|abfss?|wasbs?)://[^/@:\s]+@", re.IGNORECASE)

_WEB = ("http", "https")


def is_url(path: str) -> bool:
    """Whether a path is a URL, and not the name of a file."""
    return _URL.fullmatch(path) is not None


def scheme_of(url: str) -> str:
    """What stands before ``://``, in lower case."""
    return url.partition("://")[0].lower()


def is_of_one_process(url: str) -> bool:
    """Whether other processes cannot see what lies at a URL."""
    return scheme_of(url) == "memory"


def is_read_only(url: str) -> bool:
    """Whether nothing can be written there."""
    return scheme_of(url) in _WEB


def absolute(path: str) -> str:
    """A URL as it is, or the absolute path of a file."""
    return path if is_url(path) else os.path.abspath(path)


def checked_path(path: str, given: object) -> str:
    """Return the path of a file as it is, of a ``file://`` URL the path of the file, or a URL in its plain form.

    Parameters
    ----------
    path : str
        Path or URL.
    given : object
        What the caller gave, which may have been a path object.

    Raises
    ------
    ParameterError
        If a URL holds a user's name, a password or a query, or has lost a slash.
    """
    if isinstance(given, PurePath) and _BROKEN.match(path) and not os.path.exists(path):
        shown = without_secrets(path.replace(":/", "://", 1))
        raise ParameterError.of("path", shown, "a Path is for files, and drops a slash of a URL: give the URL as text")
    if not is_url(path):
        return path
    scheme, _, rest = path.partition("://")
    if scheme.lower() in ("file", "local"):
        return rest
    url = f"{scheme.lower()}://{rest}"
    hidden = without_secrets(url)
    if (user := _USER.match(url)) and not _CONTAINER.fullmatch(user[0]):
        raise ParameterError.of("path", hidden, "credentials do not belong in a URL: set them in the environment")
    if "?" in url or (scheme.lower() in _WEB and "#" in url):
        raise ParameterError.of("path", hidden, "a folder's URL has no ? and no #: its chunks lie below it")
    return url.rstrip("/")


def without_secrets(text: str) -> str:
    """A text without what may hold credentials in its URLs."""
    return _QUERY.sub("", _USER.sub(_without_user, text))


def _without_user(found: re.Match[str]) -> str:
    """What stands before a user's name, or all of it if it is no user."""
    return found[0] if _CONTAINER.fullmatch(found[0]) else f"{found[0].partition('//')[0]}//"
