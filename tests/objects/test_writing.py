"""Outputs in object stores: visible when they are complete, and whole whatever happens."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import zarr

from tests.objects.server import SECRET
from tests.objects.test_reading import SHAPE
from tilecore import (
    MissingFileError,
    ObjectStoreError,
    OutputExistsError,
    ParameterError,
    TileError,
    UnwritableFileError,
    create_sink,
    map_tiles,
    open_source,
    rechunk,
)
from tilecore.objects.claims import Claim
from tilecore.objects.paths import ObjectPath
from tilecore.objects.store import ObjectStore

TILE = (5, 10, 15)


@pytest.fixture
def volume() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 60000, SHAPE, dtype=np.uint16)


def keys(bucket: str) -> list[str]:
    return ObjectStore(bucket).all_keys()


@pytest.mark.parametrize("name", ["out.zarr", "out.ome.zarr"])
def test_every_run_writes_into_a_bucket(name: str, run: dict[str, Any], bucket: str, volume: np.ndarray) -> None:
    result = map_tiles(np.negative, volume, out=f"{bucket}/deep/{name}", tile_shape=TILE, **run)
    assert result.path == f"{bucket}/deep/{name}"
    np.testing.assert_array_equal(result, np.negative(volume))
    assert all(key.startswith(f"deep/{name}/") for key in keys(bucket)), "nothing else must be left"


def test_every_run_writes_into_the_memory_of_this_process(run: dict[str, Any], volume: np.ndarray) -> None:
    """Other processes cannot reach it, so this one writes their results."""
    try:
        result = map_tiles(np.negative, volume, out="memory://writing/out.zarr", tile_shape=TILE, **run)
        np.testing.assert_array_equal(result, np.negative(volume))
    finally:
        fsspec.filesystem("memory").rm("/writing", recursive=True)


def test_an_output_may_lie_at_the_root_of_memory(volume: np.ndarray) -> None:
    """There is no bucket to begin with."""
    files = fsspec.filesystem("memory")
    assert not files.store
    try:
        for number in range(2):
            out = map_tiles(
                np.add, [volume, volume], out="memory://root.zarr", executor="threads", overwrite=bool(number)
            )
        np.testing.assert_array_equal(out, volume + volume)
        assert [name for name in files.find("/") if not name.startswith("/root.zarr/")] == []
        assert ObjectStore("memory://").all_keys() == [f"root.zarr/{key}" for key in ObjectStore(out.path).all_keys()]
    finally:
        files.rm("/root.zarr", recursive=True)


def test_zarr_itself_reads_what_was_written(bucket: str, tmp_path: Path, volume: np.ndarray) -> None:
    with create_sink(f"{bucket}/out.zarr", SHAPE, "uint16", chunks=(5, 5, 5), shards=(10, 10, 10)) as sink:
        sink[...] = volume
        np.testing.assert_array_equal(sink[3:5], volume[3:5])
    for key in keys(bucket):
        path = tmp_path / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(ObjectStore(bucket).get(key) or b"")
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "out.zarr", mode="r")[...], volume)


def test_pyramids_are_those_of_files(bucket: str, tmp_path: Path) -> None:
    volume = np.random.default_rng(0).integers(0, 200, (4, 600, 300), dtype=np.uint8)
    options: dict[str, Any] = {"executor": "threads", "workers": 2, "tile_shape": (4, 128, 128)}
    map_tiles(np.negative, volume, out=tmp_path / "v.ome.zarr", **options)
    map_tiles(np.negative, volume, out=f"{bucket}/v.ome.zarr", **options)
    for level in range(3):
        there, here = (open_source(place, level=level) for place in (f"{bucket}/v.ome.zarr", tmp_path / "v.ome.zarr"))
        assert there.info == here.info
        np.testing.assert_array_equal(there, here)


def test_an_output_is_visible_when_it_is_complete(bucket: str, volume: np.ndarray) -> None:
    url, seen = f"{bucket}/out.zarr", []

    def look(block: np.ndarray) -> np.ndarray:
        seen.append(ObjectPath(url).exists())
        return block

    map_tiles(look, volume, out=url, tile_shape=TILE, executor="serial")
    assert not any(seen)
    assert ObjectPath(url).exists()


def test_metadata_are_written_last(bucket: str, volume: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[list[str]] = []
    plain = ObjectStore.copy
    monkeypatch.setattr(
        ObjectStore, "copy", lambda self, found, other: (copied.append(found), plain(self, found, other))
    )
    with create_sink(f"{bucket}/out.ome.zarr", SHAPE, "uint16") as sink:
        sink[...] = volume
    assert copied[-2:] == [["0/zarr.json"], ["zarr.json"]]
    assert all("/c/" in key for each in copied[:-2] for key in each)


def test_metadata_of_format_2_are_written_last_and_removed_first(
    bucket: str, volume: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attributes first, and then what makes them visible."""
    written: list[list[str]] = []
    removed: list[list[str]] = []
    plain_copy, plain_remove = ObjectStore.copy, ObjectStore.remove

    def copy(store: ObjectStore, found: list[str], other: ObjectStore) -> None:
        written.append(found)
        plain_copy(store, found, other)

    def remove(store: ObjectStore, found: list[str]) -> None:
        if found and store.root.endswith("out.ome.zarr"):
            removed.append(found)
        plain_remove(store, found)

    with create_sink(f"{bucket}/out.ome.zarr", SHAPE, "uint16", ome_zarr_version="0.4") as sink:
        sink[...] = volume
        monkeypatch.setattr(ObjectStore, "copy", copy)
    assert written[-3:] == [["0/.zarray"], [".zattrs"], [".zgroup"]]
    ObjectStore(f"{bucket}/out.ome.zarr").put(".zmetadata", [b"{}"])  # of zarr, which reads it first
    ObjectStore(f"{bucket}/out.ome.zarr").put("0/.zattrs", [b"{}"])
    monkeypatch.setattr(ObjectStore, "remove", remove)
    with create_sink(f"{bucket}/out.ome.zarr", SHAPE, "uint16", overwrite=True) as sink:
        sink[...] = volume
    final = [each for each in removed if ".zmetadata" in each or each[0] in (".zattrs", "0/.zarray", "0/.zattrs")]
    assert [sorted(each) for each in final] == [[".zgroup", ".zmetadata"], [".zattrs"], ["0/.zarray"], ["0/.zattrs"]]


def test_attributes_of_format_2_alone_are_no_output(bucket: str) -> None:
    """The rest of an output whose removal was stopped."""
    url = f"{bucket}/out.ome.zarr"
    claim = Claim(f"{url}.unfinished")
    claim.take()
    claim.let_go()
    ObjectStore(url).put(".zattrs", [b"{}"])
    assert not ObjectPath(url).exists()
    ObjectStore(url).put(".zgroup", [b"{}"])
    assert ObjectPath(url).exists()


def test_what_is_being_removed_is_not_continued(bucket: str, volume: np.ndarray) -> None:
    """A run has given out the name, and was killed while it removed the chunks that it had copied."""
    url = f"{bucket}/out.zarr"
    sink = create_sink(url, SHAPE, "uint16", chunks=5)
    sink[...] = volume
    token, folder = sink.token, sink.place.folder
    sink.release()
    assert sink.can_continue(token)
    ObjectStore(f"{folder}/out.zarr").remove(["zarr.json"])
    assert not sink.can_continue(token)
    sink.token = token
    with pytest.raises(MissingFileError, match="no longer exists"):
        sink.reopen()


def test_an_output_that_exists_is_refused_before_any_work(bucket: str, volume: np.ndarray) -> None:
    ObjectStore(f"{bucket}/out.zarr").put("notes.txt", [b"somebody's"])
    with pytest.raises(OutputExistsError, match=f"{bucket}/out.zarr exists already"):
        map_tiles(pytest.fail, volume, out=f"{bucket}/out.zarr")
    assert keys(bucket) == ["out.zarr/notes.txt"]


def test_an_old_output_stays_whole_until_the_new_one_is(bucket: str, volume: np.ndarray) -> None:
    url = f"{bucket}/out.zarr"
    with create_sink(url, (20, 20, 40), "uint16", chunks=10) as sink:
        sink[...] = 7

    def look(block: np.ndarray) -> np.ndarray:
        assert (open_source(url)[...] == 7).all()
        return block

    map_tiles(look, volume, out=url, tile_shape=TILE, overwrite=True, executor="serial")
    np.testing.assert_array_equal(open_source(url), volume)
    assert len(keys(bucket)) == 9, "no chunk of the old one must be left"


@pytest.mark.parametrize("executor", ["serial", "processes"])
def test_a_run_that_fails_leaves_nothing(executor: str, bucket: str, volume: np.ndarray) -> None:
    def fail(block: np.ndarray, tile: Any) -> np.ndarray:
        if tile.number == 3:
            raise RuntimeError("odd")
        return block

    options: dict[str, Any] = {"executor": executor, "retries": 0, "journal": False, "pass_tile": True}
    with pytest.raises(TileError):
        map_tiles(fail, volume, out=f"{bucket}/out.zarr", tile_shape=TILE, dtype="u2", **options)
    assert keys(bucket) == []


def test_a_sink_that_is_discarded_leaves_nothing(bucket: str, volume: np.ndarray) -> None:
    with pytest.raises(ZeroDivisionError), create_sink(f"{bucket}/out.zarr", SHAPE, "uint16") as sink:
        sink[...] = volume
        assert keys(bucket)
        _ = 1 / 0
    assert keys(bucket) == []


def test_two_runs_of_one_output_do_not_mix(bucket: str) -> None:
    """Sinks are written apart from each other; a run refuses to begin beside another one."""
    url = f"{bucket}/out.zarr"
    one, other = (create_sink(url, SHAPE, "uint16", chunks=5) for _ in range(2))
    one[...], other[...] = 1, 2
    with pytest.raises(UnwritableFileError, match="is being written already, in"):
        map_tiles(np.negative, np.zeros(SHAPE, "u2"), out=url, executor="serial")
    other.commit()
    with pytest.raises(OutputExistsError, match=r"exists already.*The output of this run is in s3://.*\.partial"):
        one.commit()
    assert (open_source(url)[...] == 2).all()
    assert (one[...] == 1).all()
    one.discard()
    assert all(key.startswith("out.zarr/") for key in keys(bucket))


def test_no_two_take_the_name_at_once(bucket: str) -> None:
    url = f"{bucket}/out.zarr"
    sink = create_sink(url, SHAPE, "uint16", overwrite=True)
    sink[...] = 1
    claim = Claim(f"{url}.unfinished")
    claim.take()
    with pytest.raises(
        UnwritableFileError, match="in use by process .*if it has ended, remove s3://.*unfinished/[0-9a-f]+"
    ):
        sink.commit()
    claim.remove()
    sink.commit()
    assert (open_source(url)[...] == 1).all()


def test_a_name_that_was_half_given_is_given_by_the_next_run(
    bucket: str, volume: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{bucket}/out.zarr"
    sink = create_sink(url, SHAPE, "uint16", chunks=5)
    sink[...] = volume
    plain = ObjectStore.copy

    def break_down(store: ObjectStore, found: list[str], other: ObjectStore) -> None:
        plain(store, found[:3], other)
        raise ObjectStoreError("broken")

    with monkeypatch.context() as patched:
        patched.setattr(ObjectStore, "copy", break_down)
        with pytest.raises(ObjectStoreError, match="broken"):
            sink.commit()
    assert any(key.startswith("out.zarr/c/") for key in keys(bucket))
    assert not ObjectPath(url).exists(), "what is incomplete must not stand in the way"
    with pytest.raises(MissingFileError):
        open_source(url)
    sink.commit()
    np.testing.assert_array_equal(open_source(url), volume)
    assert all(key.startswith("out.zarr/") for key in keys(bucket))


def test_a_whole_output_is_kept_though_a_run_was_stopped_before_it_replaced_it(bucket: str) -> None:
    """The claim is there, but nothing was removed yet, or all is copied."""
    url = f"{bucket}/out.zarr"
    with create_sink(url, SHAPE, "uint16") as sink:
        sink[...] = 1
    claim = Claim(f"{url}.unfinished")
    claim.take()
    claim.let_go()
    assert ObjectPath(url).exists()
    with pytest.raises(OutputExistsError):
        create_sink(url, SHAPE, "uint16")
    with create_sink(url, SHAPE, "uint16", overwrite=True) as sink:
        sink[...] = 2
    assert (open_source(url)[...] == 2).all()
    assert not claim.exists


def test_a_sink_whose_chunks_were_removed_is_not_completed(
    bucket: str, volume: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = create_sink(f"{bucket}/out.zarr", SHAPE, "uint16")
    sink[...] = volume
    found = ObjectStore(str(sink.place.data)).all_keys()
    ObjectStore(str(sink.place.data)).remove(found[:1])
    with monkeypatch.context() as patched:
        patched.setattr(ObjectStore, "all_keys", lambda store, folder="": found if "partial" in store.root else [])
        with pytest.raises(MissingFileError, match="somebody has removed it; run again"):
            sink.commit()
    sink.discard()
    with pytest.raises(MissingFileError):
        open_source(f"{bucket}/out.zarr")


def test_what_a_killed_run_left_is_removed_by_the_next(bucket: str, volume: np.ndarray) -> None:
    script = (
        "import os, signal, sys; from tilecore import create_sink\n"
        "sink = create_sink(sys.argv[1], (10, 20, 30), 'uint16'); sink[...] = 1\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", script, f"{bucket}/out.zarr"])
    assert done.returncode == -signal.SIGKILL
    assert any(".partial/out.zarr/zarr.json" in key for key in keys(bucket))
    map_tiles(np.negative, volume, out=f"{bucket}/out.zarr", executor="serial")
    assert all(key.startswith("out.zarr/") for key in keys(bucket))


def test_a_run_on_another_machine_is_not_disturbed(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from tilecore import process_identity

    url = f"{bucket}/out.zarr"
    told = process_identity._system()
    with monkeypatch.context() as patched:
        patched.setattr(process_identity, "_system", lambda: told | {"host": "other", "boot": "another"})
        there = create_sink(url, SHAPE, "uint16")
        there[...] = 1
    with pytest.raises(UnwritableFileError, match="is being written already"):
        map_tiles(np.negative, np.zeros(SHAPE, "u2"), out=url, executor="serial")
    there.commit()
    assert (open_source(url)[...] == 1).all()


def test_bad_outputs_are_told_before_any_work(bucket: str, volume: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = {
        "s3://no-such-bucket/out.zarr": (MissingFileError, "there is no bucket s3://no-such-bucket"),
        f"{bucket}/out.tif": (ParameterError, "at URLs .zarr and .ome.zarr alone are written"),
        "s3://out.zarr": (ParameterError, "this is a bucket: give a name in it"),
        "https://host/out.zarr": (ParameterError, "nothing can be written through http"),
        f"s3://me:{SECRET}@bucket/out.zarr": (ParameterError, "credentials do not belong in a URL"),
    }
    for url, (kind, words) in refused.items():
        with pytest.raises(kind, match=words) as caught:
            map_tiles(pytest.fail, volume, out=url)
        assert SECRET not in str(caught.value)
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(ObjectStoreError, match="there are no credentials; set AWS_ACCESS_KEY_ID"):
        map_tiles(pytest.fail, volume, out=f"{bucket}/out.zarr")


def test_rechunk_writes_into_a_bucket(bucket: str, volume: np.ndarray) -> None:
    options: dict[str, Any] = {"executor": "threads", "workers": 2, "max_memory": 40_000}
    for max_memory in (40_000, "1GB"):
        options["max_memory"] = max_memory
        result = rechunk(volume, f"{bucket}/out.zarr", chunks=(10, 2, 30), overwrite=True, **options)
        assert result.chunks == (10, 2, 30)
        np.testing.assert_array_equal(result, volume)
        assert all(key.startswith("out.zarr/") for key in keys(bucket))
    with pytest.raises(ParameterError, match="is the source, or a part of it"):
        rechunk(f"{bucket}/out.zarr", f"{bucket}/out.zarr", chunks=5, overwrite=True)
