"""Journals in object stores: small objects beside the output, with which a killed run goes on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest

from tests.objects.test_reading import SHAPE
from tests.runs import CancelAfter
from tilecore import (
    JournalError,
    ObjectStoreError,
    RunCancelledError,
    TileDone,
    TileError,
    collect_tiles,
    map_tiles,
    open_source,
)
from tilecore.engine import journal_objects
from tilecore.engine.journal import Journal
from tilecore.formats.creating import prepare_sink
from tilecore.objects.store import ObjectStore
from tilecore.testing.patience import HANGS

TILE = (5, 10, 15)

KILLED = """
import os, signal, sys
import numpy as np
from tilecore import map_tiles
from tilecore.engine import journal_objects
from tilecore.engine.events import TileDone

journal_objects._BATCH_SECONDS = float(sys.argv[2])
options = {"executor": sys.argv[3], "workers": 1} if sys.argv[3] != "serial" else {"executor": "serial"}

done = []

def negative(block, tile):
    return np.negative(block)

def kill(event):
    done.append(event)
    if sum(isinstance(each, TileDone) for each in done) == 5:
        os.kill(os.getpid(), signal.SIGKILL)

volume = np.arange(6000, dtype="u2").reshape(10, 20, 30)
map_tiles(
    negative, volume, out=sys.argv[1], tile_shape=(5, 10, 15), pass_tile=True, identity="negative", callbacks=[kill],
    dtype="u2", **options
)
"""

VOLUME = np.arange(6000, dtype="u2").reshape(SHAPE)


def keys(bucket: str) -> list[str]:
    return ObjectStore(bucket).all_keys()


def journal_of(bucket: str) -> list[str]:
    return [key for key in keys(bucket) if ".journal/0" in key]


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write each line as an object."""
    monkeypatch.setattr(journal_objects, "_BATCH_SECONDS", 0)


@pytest.mark.parametrize("executor", ["serial", pytest.param("processes", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["out.zarr", "out.ome.zarr"])
def test_a_killed_run_goes_on(name: str, executor: str, bucket: str) -> None:
    url, done = f"{bucket}/{name}", []
    killed = subprocess.run([sys.executable, "-c", KILLED, url, "0", executor])
    assert killed.returncode == -signal.SIGKILL
    assert len(journal_of(bucket)) >= 5, "the first line, and those of some tiles"

    def negative(block: np.ndarray, tile: Any) -> np.ndarray:
        done.append(tile.number)
        return np.negative(block)

    options: dict[str, Any] = {"tile_shape": TILE, "pass_tile": True, "identity": "negative", "dtype": "u2"}
    result = map_tiles(negative, VOLUME, out=url, resume=True, executor="serial", **options)
    np.testing.assert_array_equal(result, np.negative(VOLUME))
    assert len(done) in (3, 4), "only what was not noted is made again"
    assert all(key.startswith(f"{name}/") for key in keys(bucket)), "nothing else must be left"


def test_a_killed_run_is_begun_again_without_resume(bucket: str, caplog: pytest.LogCaptureFixture) -> None:
    url = f"{bucket}/out.zarr"
    subprocess.run([sys.executable, "-c", KILLED, url, "0", "serial"])
    np.testing.assert_array_equal(map_tiles(np.negative, VOLUME, out=url, executor="serial"), np.negative(VOLUME))
    assert "tiles done by a stopped run" in caplog.text
    assert all(key.startswith("out.zarr/") for key in keys(bucket))


def test_a_run_that_failed_goes_on_and_its_journal_is_one_object(bucket: str, at_once: None) -> None:
    url, done = f"{bucket}/out.zarr", []

    def negative(block: np.ndarray, tile: Any) -> np.ndarray:
        if tile.number == 6 and not done:
            raise RuntimeError("odd")
        done.extend([tile.number] if done else [])
        return np.negative(block)

    options: dict[str, Any] = {"tile_shape": TILE, "pass_tile": True, "identity": "same", "executor": "serial"}
    with pytest.raises(TileError):
        map_tiles(negative, VOLUME, out=url, dtype="u2", retries=0, **options)
    assert len(journal_of(bucket)) == 1
    done.append(-1)
    result = map_tiles(negative, VOLUME, out=url, dtype="u2", resume=True, **options)
    np.testing.assert_array_equal(result, np.negative(VOLUME))
    assert sorted(done) == [-1, 6, 7]
    assert all(key.startswith("out.zarr/") for key in keys(bucket))


def test_many_tiles_are_one_object(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_objects, "_BATCH_SECONDS", 3600)
    written: list[str] = []
    plain = ObjectStore.put
    monkeypatch.setattr(ObjectStore, "put", lambda self, key, parts: (written.append(key), plain(self, key, parts)))
    path = f"{bucket}/run.journal"
    collect_tiles(np.sum, VOLUME, tile_shape=TILE, executor="serial", journal=path)
    lines = [key for key in written if key.startswith("0000")]
    assert lines == ["00000000", "00000001", "00000002.whole"], "the first line, all tiles, and both merged"


def test_the_last_lines_do_not_wait_for_others(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_objects, "_BATCH_SECONDS", 0.2)
    store = ObjectStore(f"{bucket}/run.journal")
    journal = journal_objects.JournalObjects(open_path(store.root))
    journal.write(b'{"tilecore_journal":3}\n')
    journal.write(b'{"t":1}\n')
    deadline = time.monotonic() + HANGS
    while len(store.names()) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert store.get("00000001") == b'{"t":1}\n'
    journal.remove()
    assert keys(bucket) == []


def test_lines_that_could_not_be_written_in_time_are_written_later(
    bucket: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(journal_objects, "_BATCH_SECONDS", 0.2)
    caplog.set_level("INFO")
    store = ObjectStore(f"{bucket}/run.journal")
    journal = journal_objects.JournalObjects(open_path(store.root))
    journal.write(b'{"tilecore_journal":3}\n')

    def fail(*_: object) -> None:
        raise ObjectStoreError("no answer")

    with monkeypatch.context() as patched:
        patched.setattr(ObjectStore, "put", fail)
        journal.write(b'{"t":1}\n')
        deadline = time.monotonic() + HANGS
        while "lines wait" not in caplog.text and time.monotonic() < deadline:
            time.sleep(0.05)
        with pytest.raises(ObjectStoreError):
            journal.write(b'{"t":2}\n')
    journal.close()
    assert store.get(store.names()[0]) == b'{"tilecore_journal":3}\n{"t":1}\n{"t":2}\n'


def test_results_are_kept_by_a_journal_at_a_url(bucket: str, at_once: None) -> None:
    path, done = f"{bucket}/run.journal", []

    def total(block: np.ndarray, tile: Any) -> int:
        done.append(tile.number)
        if tile.number == 5 and len(done) == 6:
            raise RuntimeError("odd")
        return int(block.sum())

    options: dict[str, Any] = {"tile_shape": TILE, "pass_tile": True, "identity": "same", "executor": "serial"}
    with pytest.raises(TileError):
        collect_tiles(total, VOLUME, journal=path, retries=0, **options)
    found = collect_tiles(total, VOLUME, journal=path, resume=True, **options)
    assert sum(found) == VOLUME.sum()
    assert done == [0, 1, 2, 3, 4, 5, 5, 6, 7]


def test_two_runs_do_not_share_a_journal(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = f"{bucket}/run.journal"
    with (
        Journal(path, {}),
        pytest.raises(
            JournalError, match=r"run.journal is in use by process .*remove s3://.*/run.journal/claim/[0-9a-f]+"
        ),
    ):
        Journal(path, {})
    assert keys(bucket) == []


def test_what_is_no_journal_is_not_replaced(bucket: str) -> None:
    store = ObjectStore(f"{bucket}/run.journal")
    store.put("00000000", [b"somebody's"])
    with pytest.raises(JournalError, match="exists and is not a journal"):
        Journal(f"{bucket}/run.journal", {})
    assert store.get("00000000") == b"somebody's"


def test_a_damaged_journal_is_told(bucket: str, at_once: None) -> None:
    path = f"{bucket}/run.journal"

    def fail(block: np.ndarray, tile: Any) -> int:
        return int(1 / (tile.number - 3))

    with pytest.raises(TileError):
        collect_tiles(fail, VOLUME, tile_shape=TILE, pass_tile=True, journal=path, retries=0, executor="serial")
    (name,) = [key for key in ObjectStore(path).names() if key.startswith("0")]
    content = ObjectStore(path).get(name) or b""
    ObjectStore(path).put(name, [content.replace(b'"t":0', b'"t":9')])
    with pytest.raises(JournalError, match="is damaged in line 2; delete it to start over"):
        Journal(path, {}, resume=True)


def test_a_merge_that_was_stopped_loses_nothing(bucket: str) -> None:
    """The merged object is there, and those that it holds are not yet removed."""
    store = ObjectStore(f"{bucket}/run.journal")
    journal = journal_objects.JournalObjects(open_path(f"{bucket}/run.journal"))
    for line in (b'{"tilecore_journal":3}', b'{"t":1}'):
        store.put(f"{len(store.names()):08}", [line + b"\n"])
    before = journal._content()
    store.put("00000002.whole", [before])
    store.put("00000003", [b'{"t":2}\n'])
    assert journal._content() == before + b'{"t":2}\n'
    journal.remove()
    assert keys(bucket) == []


def open_path(url: str) -> Any:
    from tilecore.objects.paths import path_of

    return path_of(url)


@pytest.mark.parametrize("name", ["out.zarr", "out.ome.zarr", "old.ome.zarr"])
def test_a_finished_run_is_not_done_again(name: str, bucket: str) -> None:
    """Its output is marked, as a file is; whoever changes its metadata makes the mark untrue."""
    url, done = f"{bucket}/{name}", []

    def negative(block: np.ndarray) -> np.ndarray:
        done.append(1)
        return np.negative(block)

    def run(**more: Any) -> None:
        version: Any = {"ome_zarr_version": "0.4"} if name.startswith("old") else {}
        sink = prepare_sink(url, SHAPE, overwrite=True, **version)
        options: dict[str, Any] = {"tile_shape": TILE, "executor": "serial", "identity": "same", "dtype": "u2"}
        result = map_tiles(negative, VOLUME, out=sink, **options, **more)
        np.testing.assert_array_equal(result, np.negative(VOLUME))

    run()
    n_done = len(done)
    run(resume=True)
    assert len(done) == n_done
    run(resume=True, kwargs={}, halo=1)
    assert len(done) == 2 * n_done, "another run"
    key = ".zattrs" if name.startswith("old") else "zarr.json"
    document = json.loads(ObjectStore(url).get(key) or b"")
    document["more"] = 1
    ObjectStore(url).put(key, [json.dumps(document).encode()])
    run(resume=True, kwargs={}, halo=1)
    assert len(done) == 3 * n_done, "changed since"
    ObjectStore(url).put(key, [b"no JSON"])
    run(resume=True, kwargs={}, halo=1)
    assert len(done) == 4 * n_done, "and damaged"


def test_a_finished_run_leaves_another_one_that_was_stopped(bucket: str) -> None:
    """Of two runs that write the same output, the one that is known as complete removes nothing of the other."""
    run: dict[str, Any] = {"out": f"{bucket}/out.zarr", "overwrite": True, "tile_shape": TILE, "executor": "serial"}
    map_tiles(np.negative, VOLUME, **run)
    with pytest.raises(RunCancelledError):
        map_tiles(np.square, VOLUME, cancel=CancelAfter(4), **run)
    map_tiles(np.negative, VOLUME, resume=True, **run)
    events: list[object] = []
    found = map_tiles(np.square, VOLUME, resume=True, callbacks=[events.append], **run)
    np.testing.assert_array_equal(found, np.square(VOLUME))
    n_tiles = np.prod(-(-np.array(SHAPE) // TILE))
    assert sum(isinstance(event, TileDone) for event in events) < n_tiles


def test_an_output_whose_name_was_half_given_is_completed(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"{bucket}/out.zarr"
    plain = ObjectStore.copy

    def die(store: ObjectStore, found: list[str], other: ObjectStore) -> None:
        plain(store, found[:1], other)
        raise KeyboardInterrupt

    options: dict[str, Any] = {"tile_shape": TILE, "executor": "serial", "dtype": "u2"}
    with monkeypatch.context() as patched:
        patched.setattr(ObjectStore, "copy", die)
        with pytest.raises(KeyboardInterrupt):
            map_tiles(np.negative, VOLUME, out=url, **options)
    result = map_tiles(np.negative, VOLUME, out=url, resume=True, **options)
    np.testing.assert_array_equal(result, np.negative(VOLUME))
    np.testing.assert_array_equal(open_source(url), np.negative(VOLUME))
    assert all(key.startswith("out.zarr/") for key in keys(bucket))
