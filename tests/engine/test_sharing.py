"""Tests of decoded chunks that tiles share: each is decoded once, and the result is the same."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.ndimage import uniform_filter

from tests.faults.harness import Once
from tests.runs import EVERY_RUN, RUNS, CancelAfter
from tilecore import (
    MemoryBudgetError,
    RunCancelledError,
    Tile,
    TileError,
    UnreadableFileError,
    collect_tiles,
    map_tiles,
    open_source,
    reduce_tiles,
)
from tilecore.arrays.shared import SharedArray
from tilecore.engine.events import Event, RunStarted, TileDone
from tilecore.formats.zarr.stores import FolderStore
from tilecore.geometry.boxes import Box
from tilecore.geometry.chunks_in_box import touched

SHAPE, CHUNKS = (24, 40, 56), (8, 16, 16)
N_CHUNKS = 3 * 3 * 4
VOLUME = np.random.default_rng(0).integers(0, 60000, SHAPE, "u2")


class Counted:
    """Source that is stored in chunks, and writes down which chunks are read."""

    chunks = CHUNKS
    shape, dtype = SHAPE, VOLUME.dtype

    def __init__(self, folder: Path, deed: Callable[[tuple[int, ...]], Any] = lambda index: None) -> None:
        self.log, self.deed = folder / "chunks", deed

    def __getitem__(self, slices: tuple[slice, ...]) -> np.ndarray:
        box = Box.from_slices(slices)
        indices = [index for index, _, _ in touched(box, CHUNKS)]
        with self.log.open("a") as file:
            file.write("".join(f"{index}\n" for index in indices))
        for index in indices:
            self.deed(index)
        return VOLUME[slices]

    def counts(self) -> Counter[str]:
        return Counter(self.log.read_text().splitlines())


def smooth(block: np.ndarray) -> np.ndarray:
    return uniform_filter(block.astype("f4"), 5, mode="nearest")


@pytest.fixture(autouse=True)
def _small_units(monkeypatch: pytest.MonkeyPatch) -> None:
    """Handle each chunk of these small volumes alone."""
    monkeypatch.setattr("tilecore.geometry.sharing._UNIT_BYTES", 1)


@pytest.mark.parametrize("run", EVERY_RUN)
@pytest.mark.parametrize("tile_shape", [CHUNKS, (12, 20, 20), (24, 8, 56)])
def test_each_chunk_is_decoded_once(run: str, tile_shape: Any, tmp_path: Path) -> None:
    source = Counted(tmp_path)
    result = map_tiles(smooth, source, tile_shape=tile_shape, halo=2, progress=False, **RUNS[run])
    np.testing.assert_array_equal(result, smooth(VOLUME))
    assert source.counts() == {str(index): 1 for index in np.ndindex(3, 3, 4)}


@pytest.mark.parametrize("boundary", [None, "reflect", "wrap", "constant", 7])
def test_boundaries_are_the_same(boundary: Any, tmp_path: Path) -> None:
    options: dict[str, Any] = {"tile_shape": (8, 12, 20), "halo": 3, "boundary": boundary, "workers": 2}
    shared = collect_tiles(np.copy, Counted(tmp_path), progress=False, **options)
    alone = collect_tiles(np.copy, VOLUME, progress=False, **options)
    for one, other in zip(shared, alone, strict=True):
        np.testing.assert_array_equal(one, other)


def test_little_memory_is_shared_as_far_as_it_goes(tmp_path: Path) -> None:
    chunk_bytes = 2 * int(np.prod(CHUNKS))
    tile_bytes = 20 * int(np.prod([12, 20, 20])) + chunk_bytes
    n_decoded = {}
    for n_kept in (0, 6, 200):
        (folder := tmp_path / str(n_kept)).mkdir()
        source, memory = Counted(folder), tile_bytes + n_kept * chunk_bytes
        options: dict[str, Any] = {"tile_shape": CHUNKS, "halo": 2, "max_memory": memory, "executor": "serial"}
        np.testing.assert_array_equal(map_tiles(smooth, source, progress=False, **options), smooth(VOLUME))
        n_decoded[n_kept] = source.counts().total()
    assert n_decoded[0] > n_decoded[6] > n_decoded[200] == N_CHUNKS


@pytest.mark.parametrize("run", ["fork", "threads"])
def test_workers_without_room_for_a_tile_decode(run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never more tiles are worked on than fit into memory; the other workers decode what comes next."""
    monkeypatch.setattr("tilecore.geometry.sharing.usable_cores", lambda: 3)
    monkeypatch.setattr("tilecore.engine.run_planning._MANY_TILES", 1000)  # no call before the run
    n_running, names = SharedArray((1,), "i8"), tmp_path / "names"

    def slow(block: np.ndarray) -> np.ndarray:
        n_running[0] += 1
        deadline = time.monotonic() + 5
        while len(set(names.read_text().splitlines())) < 2 and time.monotonic() < deadline:
            time.sleep(0.002)  # the other workers may still be starting
        assert n_running[0] == 1
        n_running[0] -= 1
        return smooth(block)

    def sign(_: tuple[int, ...]) -> None:
        with names.open("a") as file:
            file.write(f"{os.getpid()} {threading.get_ident()}\n")

    events: list[Event] = []
    source, tile_bytes = Counted(tmp_path, sign), 20 * int(np.prod([12, 20, 20])) + 2 * int(np.prod(CHUNKS))
    options: dict[str, Any] = {"tile_shape": CHUNKS, "halo": 2, "progress": False, **RUNS[run], "workers": 3}
    result = map_tiles(slow, source, dtype="f4", max_memory=2 * tile_bytes - 1, callbacks=[events.append], **options)
    np.testing.assert_array_equal(result, smooth(VOLUME))
    assert [event.workers for event in events if isinstance(event, RunStarted)] == [1]
    assert len(set(names.read_text().splitlines())) > 1
    assert source.counts().total() == N_CHUNKS


@pytest.mark.parametrize("run", EVERY_RUN)
def test_a_run_that_is_continued_shares_too(run: str, tmp_path: Path) -> None:
    source = Counted(tmp_path)
    options: dict[str, Any] = {"tile_shape": CHUNKS, "halo": 2, "progress": False, **RUNS[run]}
    target = {"out": tmp_path / "out.npy", "resume": True, "identity": "smooth"}
    with pytest.raises(RunCancelledError):
        map_tiles(smooth, source, **target, **options, cancel=CancelAfter(40))
    map_tiles(smooth, source, **target, **options)
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), smooth(VOLUME))


def test_a_reduction_in_the_order_of_tiles_shares_too(tmp_path: Path) -> None:
    source = Counted(tmp_path)
    joined = reduce_tiles(
        lambda block, tile: (tile.number,),
        lambda a, b: a + b,
        source,
        tile_shape=CHUNKS,
        halo=1,
        pass_tile=True,
        workers=2,
    )
    assert joined == tuple(range(N_CHUNKS))
    assert set(source.counts().values()) == {1}


def test_sources_with_other_axes_are_shared(tmp_path: Path) -> None:
    colors = np.stack([VOLUME, VOLUME + 1], axis=-1)
    zarr.create_array(tmp_path / "colors.zarr", data=colors, chunks=(*CHUNKS, 1))
    zarr.create_array(tmp_path / "planes.zarr", data=VOLUME[:, :, 0].copy(), chunks=CHUNKS[:2])
    sources = [Counted(tmp_path), open_source(tmp_path / "colors.zarr"), open_source(tmp_path / "planes.zarr")]
    function = lambda a, c, p: a + 2.0 * c[..., 1] + 3.0 * p[..., None]  # noqa: E731
    result = map_tiles(function, sources, tile_shape=(8, 12, 20), halo=2, workers=2, progress=False)
    np.testing.assert_array_equal(result, function(VOLUME, colors, VOLUME[:, :, 0]))
    assert set(sources[0].counts().values()) == {1}


def test_a_damaged_chunk_is_named_once_and_not_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "v.zarr"
    zarr.create_array(path, data=VOLUME, chunks=CHUNKS)
    (path / "c" / "1" / "1" / "2").write_bytes(b"damaged")
    with pytest.raises(TileError) as caught:
        map_tiles(smooth, path, tile_shape=CHUNKS, halo=2, workers=2, on_error="finish", progress=False)
    assert len(caught.value.failures) == 27
    assert all("c/1/1/2" in failure.reason and failure.attempts == 1 for failure in caught.value.failures)


def test_a_damaged_chunk_is_not_read_by_every_tile(tmp_path: Path) -> None:
    source = Counted(tmp_path, deed=_damaged)
    with pytest.raises(TileError, match="chunk 1 is damaged"):
        map_tiles(smooth, source, tile_shape=CHUNKS, halo=2, workers=2, on_error="finish", progress=False)
    assert source.counts()["(1, 1, 1)"] <= 2  # together with others, and alone


def _damaged(index: tuple[int, ...]) -> None:
    if index == (1, 1, 1):
        raise UnreadableFileError("chunk 1 is damaged")


def when_read(once: Once) -> Callable[[tuple[int, ...]], Any]:
    """Let something harmful happen at the first reads of a chunk."""
    return lambda index: once.happen("deed") if index == (1, 1, 1) else None


def _killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _crashed() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def _refused() -> None:
    raise OSError("the disk is busy")


def _full() -> None:
    raise MemoryError


@pytest.mark.parametrize("method", ["fork", "forkserver"])
@pytest.mark.parametrize("deed", [_killed, _crashed, _refused, _full])
def test_what_fails_while_decoding_is_tried_again(method: str, deed: Callable[[], Any], tmp_path: Path) -> None:
    source = Counted(tmp_path, when_read(Once(tmp_path, deed)))
    result = map_tiles(
        smooth, source, tile_shape=CHUNKS, halo=2, workers=2, start_method=method, retries=2, progress=False
    )
    np.testing.assert_array_equal(result, smooth(VOLUME))
    assert (tmp_path / "deed-0").exists()


def test_what_fails_again_and_again_fails_the_tiles(tmp_path: Path) -> None:
    source = Counted(tmp_path, when_read(Once(tmp_path, _crashed, times=100)))
    with pytest.raises(TileError, match=r"SIGSEGV|signal 11"):
        map_tiles(smooth, source, tile_shape=CHUNKS, halo=2, workers=2, retries=1, progress=False)
    assert len(list(tmp_path.glob("deed-*"))) == 2


class Greedy:
    """Function that runs out of memory with blocks of whole tiles."""

    def __call__(self, block: np.ndarray, tile: Tile) -> np.ndarray:
        if tile.number == 13 and tile.write.size > 600:
            raise MemoryError
        return smooth(block)


@pytest.mark.parametrize("run", ["serial", "threads", "forkserver"])
def test_tiles_that_are_cut_share_too(run: str, tmp_path: Path) -> None:
    source = Counted(tmp_path)
    result = map_tiles(Greedy(), source, tile_shape=CHUNKS, halo=2, pass_tile=True, progress=False, **RUNS[run])
    np.testing.assert_array_equal(result, smooth(VOLUME))
    assert set(source.counts().values()) == {1}


def test_a_source_that_needs_no_decoding_is_not_shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    monkeypatch.setattr("tilecore.engine.supply.unit_supply.UnitSupply", lambda *args: made.append(args))
    np.save(tmp_path / "v.npy", VOLUME)
    for source in (VOLUME, tmp_path / "v.npy"):
        map_tiles(smooth, source, tile_shape=CHUNKS, halo=2, executor="serial")
    map_tiles(np.copy, Counted(tmp_path), tile_shape=(8, 32, 16), executor="serial")  # no two tiles read one chunk
    assert not made


def test_tiles_go_along_the_longest_axis_layer_by_layer() -> None:
    layers: list[int] = []
    array = zarr.create_array({}, data=np.zeros((16, 32, 256), "u1"), chunks=CHUNKS)
    options: dict[str, Any] = {"tile_shape": CHUNKS, "halo": 2, "pass_tile": True, "executor": "serial"}
    collect_tiles(lambda _, tile: layers.append(tile.index[2]), array, **options)
    assert layers == sorted(layers)


def test_runs_at_once_share_nothing_with_each_other(tmp_path: Path) -> None:
    source, errors = Counted(tmp_path), []

    def run() -> None:
        try:
            result = map_tiles(smooth, source, tile_shape=CHUNKS, halo=2, executor="threads", workers=2, progress=False)
            np.testing.assert_array_equal(result, smooth(VOLUME))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert set(source.counts().values()) == {3}


@given(data=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_tiles_of_any_chunks_give_the_same(data: st.DataObject) -> None:
    ndim = data.draw(st.integers(1, 3))
    shape = data.draw(st.tuples(*[st.integers(1, 14)] * ndim))
    volume = np.arange(np.prod(shape), dtype="i4").reshape(shape)
    chunks = data.draw(st.tuples(*[st.integers(1, 6)] * ndim))
    tile_shape = data.draw(st.tuples(*[st.integers(1, 8)] * ndim))
    halo = data.draw(st.tuples(*[st.tuples(st.integers(0, 5), st.integers(0, 5))] * ndim))
    boundary = data.draw(st.sampled_from([None, "reflect", "wrap", "edge", 3]))
    memory = data.draw(st.sampled_from([None, 3000, 10000, 50000]))
    executor = data.draw(st.sampled_from(["serial", "threads"]))
    array = zarr.create_array({}, data=volume, chunks=chunks)
    options: dict[str, Any] = {"tile_shape": tile_shape, "halo": halo, "boundary": boundary, "progress": False}
    try:
        shared = collect_tiles(np.copy, array, executor=executor, workers=2, max_memory=memory, **options)
    except MemoryBudgetError:  # not even one block fits
        assert memory is not None
        return
    alone = collect_tiles(np.copy, volume, executor="serial", **options)
    for one, other in zip(shared, alone, strict=True):
        np.testing.assert_array_equal(one, other)


def test_memory_that_holds_no_block_is_refused_with_what_is_needed(tmp_path: Path) -> None:
    with pytest.raises(MemoryBudgetError, match=r"max_memory=1000 B: .* needs 13\.4 KiB"):
        map_tiles(smooth, Counted(tmp_path), tile_shape=CHUNKS, halo=2, max_memory=1000, executor="serial")


@pytest.mark.parametrize("run", ["serial", "threads", "forkserver"])
def test_the_last_event_tells_what_was_decoded_and_where_the_time_went(run: str, tmp_path: Path) -> None:
    events: list[Any] = []
    map_tiles(smooth, Counted(tmp_path), tile_shape=CHUNKS, halo=2, callbacks=[events.append], **RUNS[run])
    ended = events[-1]
    assert (ended.chunks, ended.decodes) == (N_CHUNKS, 1.0)
    done = [event for event in events if isinstance(event, TileDone)]
    assert ended.bytes_read == sum(event.bytes_read for event in done) > VOLUME.nbytes
    assert ended.bytes_written == 2 * VOLUME.nbytes
    assert set(ended.shares) == {"reading", "decoding", "computing", "writing", "waiting"}
    assert all(share >= 0 for share in ended.shares.values())
    assert sum(ended.shares.values()) == pytest.approx(1)
    assert ended.shares["decoding"] > 0 < ended.shares["computing"]


@pytest.mark.parametrize("unit_bytes", [1, 2**14])
def test_a_part_of_a_file_is_decoded_by_the_chunks_of_the_file(
    unit_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tilecore.geometry.sharing._UNIT_BYTES", unit_bytes)
    zarr.create_array(tmp_path / "v.zarr", data=VOLUME, chunks=CHUNKS)
    part = open_source(tmp_path / "v.zarr").cropped(Box((3, 9, 20), (22, 37, 56)))
    read: list[str] = []
    get = FolderStore.get
    monkeypatch.setattr(FolderStore, "get", lambda self, key: read.append(key) or get(self, key))
    for run in ({"executor": "serial"}, {"executor": "threads", "workers": 2}):
        read.clear()
        result = map_tiles(smooth, part, tile_shape=(8, 12, 16), halo=2, progress=False, **run)
        np.testing.assert_array_equal(result, smooth(VOLUME[3:22, 9:37, 20:56]))
        chunks = [key for key in read if key.startswith("c/")]
        assert sorted(chunks) == sorted(set(chunks))
        assert len(chunks) == 3 * 3 * 3


def test_memory_beyond_what_is_free_is_not_planned_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tilecore.engine.pilot.available_memory", lambda: 2**17)
    ended: list[Any] = []
    options: dict[str, Any] = {"max_memory": "1TB", "executor": "serial", "callbacks": [ended.append]}
    result = map_tiles(smooth, Counted(tmp_path), tile_shape=CHUNKS, halo=2, progress=False, **options)
    np.testing.assert_array_equal(result, smooth(VOLUME))
    assert ended[-1].decodes > 1
