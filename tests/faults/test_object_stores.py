"""Faults of object stores: a server that is slow, refuses, loses connections, and is killed."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.objects.proxy import Proxy
from tests.objects.server import new_bucket, serving, use_endpoint
from tilecore import ObjectStoreError, TileError, create_sink, map_tiles, open_source
from tilecore.objects import filesystems
from tilecore.objects.requests import PATIENCE_VARIABLE
from tilecore.objects.store import ObjectStore

SHAPE, TILE = (10, 20, 30), (5, 10, 15)
VOLUME = np.random.default_rng(0).integers(0, 60000, SHAPE, dtype=np.uint16)

RUNS: list[Any] = [
    {"executor": "threads", "workers": 2},
    pytest.param({"executor": "processes", "workers": 2}, marks=pytest.mark.slow),
]
every_run = pytest.mark.parametrize("options", RUNS, ids=["threads", "processes"])


@pytest.fixture
def proxy(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A proxy before the server, which ``s3://`` means."""
    with Proxy(s3_server) as made:
        use_endpoint(made.endpoint, monkeypatch)
        yield made


def filled(bucket: str) -> str:
    """A source in a bucket."""
    with create_sink(f"{bucket}/in.zarr", SHAPE, "uint16", chunks=TILE) as sink:
        sink[...] = VOLUME
    return f"{bucket}/in.zarr"


@pytest.mark.slow
@every_run
def test_a_server_that_refuses_and_loses_requests(proxy: Proxy, options: dict[str, Any]) -> None:
    bucket = new_bucket(proxy.endpoint)
    source = filled(bucket)
    moods = ["pass", "refuse", "pass", "lose", 0.05]
    proxy.mood = lambda number: moods[number % len(moods)]
    result = map_tiles(np.negative, source, out=f"{bucket}/out.ome.zarr", tile_shape=TILE, **options)
    np.testing.assert_array_equal(result, np.negative(VOLUME))
    proxy.mood = lambda number: "pass"
    assert {key.partition("/")[0] for key in ObjectStore(bucket).all_keys()} == {"in.zarr", "out.ome.zarr"}


@every_run
def test_a_server_that_is_killed_and_comes_back(monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]) -> None:
    with contextlib.ExitStack() as stack:
        endpoint, server = stack.enter_context(serving())
        proxy = stack.enter_context(Proxy(endpoint))
        use_endpoint(proxy.endpoint, monkeypatch)
        bucket = new_bucket(proxy.endpoint)
        source = open_source(filled(bucket))
        begun, is_dead = proxy.n_requests, threading.Event()

        def kill(number: int) -> None:
            if number >= begun + 40 and not is_dead.is_set():
                is_dead.set()
                server.kill()

        def bring_back() -> None:
            is_dead.wait()
            other, _ = stack.enter_context(serving())
            proxy.replace(other)

        def negative(block: np.ndarray, tile: Any) -> np.ndarray:
            return np.negative(source[tile.write.slices])  # the times of its objects differ in the next server

        proxy.on_request = kill
        helper = threading.Thread(target=bring_back)
        helper.start()
        try:
            shape: dict[str, Any] = {"tile_shape": TILE, "pass_tile": True}
            result = map_tiles(negative, np.zeros_like(VOLUME), out=f"{bucket}/out.zarr", **shape, **options)
        finally:
            is_dead.set()
            helper.join()
        np.testing.assert_array_equal(result, np.negative(VOLUME))
        assert server.poll() is not None, "it must have been killed meanwhile"
        np.testing.assert_array_equal(open_source(f"{bucket}/out.zarr"), np.negative(VOLUME))


@every_run
def test_a_server_that_is_killed_for_good(monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]) -> None:
    monkeypatch.setenv(PATIENCE_VARIABLE, "1")
    with serving() as (endpoint, server):
        use_endpoint(endpoint, monkeypatch)
        bucket = new_bucket(endpoint)
        source, pid = filled(bucket), server.pid

        def negative(block: np.ndarray, tile: Any) -> np.ndarray:
            if tile.number == 4:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return np.negative(block)

        run: dict[str, Any] = {"tile_shape": TILE, "pass_tile": True, "dtype": "uint16"} | options
        with pytest.raises((ObjectStoreError, TileError), match=r"the store gave no answer .*Check the network"):
            map_tiles(negative, source, out=f"{bucket}/out.zarr", **run)
        assert server.poll() is not None


@pytest.mark.parametrize("scheme", ["s3", "http"])
def test_a_server_that_takes_requests_and_never_answers(
    scheme: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each request is given up after a while, and made again, until patience ends; others are not waited for."""
    monkeypatch.setenv(PATIENCE_VARIABLE, "2")
    monkeypatch.setattr(filesystems, "_LEAST_SECONDS", 0.5)
    bucket = new_bucket(proxy.endpoint)
    store = ObjectStore(f"{bucket}/v" if scheme == "s3" else f"{proxy.endpoint}/v")
    assert store.get("key") is None
    begun = proxy.n_requests
    proxy.mood = lambda number: "keep"
    with pytest.raises(ObjectStoreError, match=r"the store gave no answer \(\d tries in .*; the last: \w*Timeout\w*: "):
        store.get("key")
    assert proxy.n_requests - begun >= 2


def test_a_bucket_that_is_removed_meanwhile(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk that is missing because its bucket is must not be taken for the fill value."""
    bucket = new_bucket(proxy.endpoint)
    with open_source(filled(bucket), missing_chunks="fill") as source:
        import boto3

        client = boto3.client("s3", endpoint_url=proxy.endpoint)
        for key in ObjectStore(bucket).all_keys():
            client.delete_object(Bucket=bucket.removeprefix("s3://"), Key=key)
        client.delete_bucket(Bucket=bucket.removeprefix("s3://"))
        client.close()
        with pytest.raises(OSError, match=f"there is no bucket {bucket}"):
            source[...]
