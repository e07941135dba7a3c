"""Requests to object stores: which are tried again, for how long, and what is told at the end."""

from __future__ import annotations

import errno
import time
import traceback
from typing import Any

import aiohttp
import botocore.exceptions
import multidict
import pytest
import yarl

from tests.objects.server import SECRET
from tilecore import MissingFileError, ObjectStoreError, ParameterError
from tilecore.objects import requests
from tilecore.objects.requests import PATIENCE_VARIABLE, NoSuchObjectError, ask

URL = "s3://bucket/v.zarr/zarr.json"


def of_s3(code: str, kind: type[OSError] = OSError) -> OSError:
    """An error as s3fs makes it of an answer of the server."""
    error = kind(0, "text")
    error.__cause__ = botocore.exceptions.ClientError({"Error": {"Code": code}}, "GetObject")
    return error


def of_http(status: int) -> aiohttp.ClientResponseError:
    url, headers = yarl.URL("https://host/v.zarr"), multidict.CIMultiDictProxy(multidict.CIMultiDict[str]())
    asked = aiohttp.RequestInfo(url, "GET", headers, url)
    return aiohttp.ClientResponseError(asked, (), status=status)


class Server:
    """Fails some times, and then answers."""

    def __init__(self, error: Exception, n_failures: int) -> None:
        self.error, self.left, self.n_asked = error, n_failures, 0

    def __call__(self) -> str:
        self.n_asked += 1
        if self.left:
            self.left -= 1
            raise self.error
        return "answer"


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pauses that were made, in a time that passes by pauses alone."""
    made: list[float] = []

    def sleep(seconds: float) -> None:
        made.append(seconds)

    monkeypatch.setattr(requests, "_silent", {})
    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.setattr(time, "monotonic", lambda: sum(made))
    return made


PASSING = [
    of_s3("SlowDown"),
    of_s3("InternalError"),
    of_s3("RequestTimeout", TimeoutError),
    ConnectionResetError(errno.ECONNRESET, "reset"),
    TimeoutError("late"),
    OSError(errno.EBUSY, "busy"),
    botocore.exceptions.EndpointConnectionError(endpoint_url="http://host"),
    botocore.exceptions.ReadTimeoutError(endpoint_url="http://host"),
    aiohttp.ClientPayloadError("cut off"),
    aiohttp.ServerDisconnectedError(),
    of_http(503),
    of_http(429),
]


@pytest.mark.parametrize("error", PASSING, ids=repr)
def test_what_may_pass_is_tried_again(error: Exception, pauses: list[float]) -> None:
    server = Server(error, 5)
    assert ask(URL, server) == "answer"
    assert server.n_asked == 6
    assert all(0 < pause <= 0.1 * 2**number for number, pause in enumerate(pauses))
    assert all(pause >= 0.05 * 2**number for number, pause in enumerate(pauses)), "pauses must grow"


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (of_s3("AccessDenied", PermissionError), ObjectStoreError, "access is denied"),
        (of_s3("NoSuchBucket", FileNotFoundError), MissingFileError, "no bucket s3://bucket; check its name"),
        (of_s3("NoSuchKey", FileNotFoundError), NoSuchObjectError, URL),
        (of_s3("InvalidAccessKeyId", PermissionError), ObjectStoreError, "does not accept the credentials"),
        (botocore.exceptions.NoCredentialsError(), ObjectStoreError, "no credentials; set AWS_ACCESS_KEY_ID"),
        (of_http(403), ObjectStoreError, "access is denied"),
        (of_http(401), ObjectStoreError, "does not accept"),
        (ValueError("odd"), ObjectStoreError, "ValueError: odd"),
    ],
    ids=repr,
)
def test_what_lasts_is_told_at_once(error: Exception, kind: type[Exception], words: str, pauses: list[float]) -> None:
    server = Server(error, 100)
    with pytest.raises(kind, match=words):
        ask(URL, server)
    assert server.n_asked == 1


def test_patience_ends(monkeypatch: pytest.MonkeyPatch, pauses: list[float]) -> None:
    for seconds in (60.0, 7.0):
        if seconds != 60:
            monkeypatch.setenv(PATIENCE_VARIABLE, str(seconds))
        pauses.clear()
        url = f"s3://bucket-{seconds:.0f}/v.zarr"
        server = Server(TimeoutError("late"), 10**6)
        with pytest.raises(ObjectStoreError, match=f"{url} cannot be read: the store gave no answer .*late") as caught:
            ask(url, server)
        assert f"{server.n_asked} tries in" in str(caught.value)
        assert sum(pauses) <= seconds
        assert max(pauses) <= 5


def test_a_store_that_is_gone_is_not_waited_for_again(pauses: list[float]) -> None:
    """What a run tidies up after such an error is tried once; after a while, a store is waited for as before."""
    for url, n_asked in ((URL, 2), (f"{URL}.other", 1), ("s3://other/key", 2)):
        server = Server(TimeoutError("late"), 10**6)
        with pytest.raises(ObjectStoreError, match="1 try" if n_asked == 1 else "tries in"):
            ask(url, server)
        assert server.n_asked >= n_asked
        assert n_asked > 1 or server.n_asked == 1
    assert ask(URL, Server(TimeoutError("late"), 0)) == "answer"
    assert ask(URL, Server(TimeoutError("late"), 3)) == "answer", "it has answered since"
    with pytest.raises(ObjectStoreError):
        ask(URL, Server(TimeoutError("late"), 10**6))
    pauses.append(1000)
    assert ask(URL, Server(TimeoutError("late"), 3)) == "answer", "that was long ago"


@pytest.mark.parametrize("text", ["soon", "-1", "inf", "nan"])
def test_a_wrong_patience_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PATIENCE_VARIABLE, text)
    with pytest.raises(ParameterError, match="TILECORE_STORE_SECONDS.*must be a number of seconds"):
        ask(URL, lambda: None)


def test_errors_show_no_credentials(pauses: list[float], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    text = f"no answer from https://me:{SECRET}@host/v.zarr?X-Amz-Signature={SECRET}"
    for error in (TimeoutError(text), ValueError(text)):
        with pytest.raises(ObjectStoreError) as caught:
            ask(URL, Server(error, 10**6))
        assert SECRET not in str(caught.value)
        assert "https://host/v.zarr" in str(caught.value)
        assert SECRET not in "".join(traceback.format_exception(caught.value))
        assert not led_to(caught.value)
    assert SECRET not in caplog.text


def led_to(error: BaseException) -> list[str]:
    """What tools that collect errors find of those that led to one."""
    found = [each for each in (error.__cause__, error.__context__) if each is not None]
    return [*map(str, found), *(text for each in found for text in led_to(each))]


def test_what_led_to_an_error_with_credentials_is_not_shown(pauses: list[float]) -> None:
    error = of_s3("AccessDenied", PermissionError)
    error.__cause__ = ValueError(f"https://me:{SECRET}@host/v.zarr")
    with pytest.raises(ObjectStoreError) as caught:
        ask(URL, Server(error, 10**6))
    assert not led_to(caught.value)


def test_what_led_to_an_error_is_shown_otherwise(pauses: list[float]) -> None:
    with pytest.raises(ObjectStoreError) as caught:
        ask(URL, Server(ValueError("odd"), 10**6))
    assert led_to(caught.value) == ["odd"]


def test_every_store_of_fsspec_raises_what_is_known(pauses: list[float]) -> None:
    """An error of a kind that nobody has thought of is told, and not tried for ever."""

    class StrangeError(Exception):
        pass

    server: Any = Server(StrangeError("strange"), 3)
    with pytest.raises(ObjectStoreError, match="StrangeError: strange"):
        ask(URL, server)
