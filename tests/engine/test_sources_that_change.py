"""Tests of sources and outputs that change before or during a run."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from tilecore import SourceChangedError, TileError, collect_tiles, create_sink, map_tiles, open_source

RUNS: list[dict[str, Any]] = [
    {"executor": "serial"},
    {"executor": "threads", "workers": 2},
    {"workers": 2},
    {"workers": 2, "start_method": "fork"},
]
SHAPE = (8, 64, 2048)


@pytest.mark.parametrize("run", RUNS)
def test_changes_of_ones_own_in_a_private_map_count_and_stay(run: dict[str, Any], tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.zeros((64, 256, 256), "u1"))
    private = np.load(tmp_path / "v.npy", mmap_mode="c")
    private[...] = 7
    assert (map_tiles(np.copy, private, tile_shape=32, halo=4, **run) == 7).all()
    assert (private == 7).all()
    map_tiles(np.copy, np.full(private.shape, 9, "u1"), out=private, tile_shape=32, **run)
    assert (private == 9).all()
    assert not np.load(tmp_path / "v.npy").any()


@pytest.mark.parametrize("run", RUNS)
def test_a_map_whose_file_was_replaced_is_still_what_it_was(run: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "v.npy"
    np.save(path, np.ones(SHAPE, "f4"))
    source, out = np.load(path, mmap_mode="r"), np.load(path, mmap_mode="r+")
    map_tiles(lambda block: block + 4, source, out=path, overwrite=True, tile_shape=(2, 64, 2048), **run)
    assert (map_tiles(lambda block: 10 * block, source, tile_shape=(2, 64, 2048), **run) == 10).all()
    result = map_tiles(np.negative, np.ones(SHAPE, "f4"), out=out, tile_shape=(2, 64, 2048), **run)
    assert (result == -1).all()
    assert (np.load(path) == 5).all()


def rewrite(kind: str, folder: Path) -> None:
    """Change one voxel of a source in place."""
    if kind == "zarr":
        zarr.open_array(folder / "v.zarr", mode="r+")[7, 7, 7] = 5
    else:
        np.lib.format.open_memmap(folder / "v.npy", mode="r+")[7, 7, 7] = 5


def source_of(kind: str, folder: Path) -> Any:
    if kind == "zarr":
        array = zarr.create_array(folder / "v.zarr", shape=(8, 8, 8), chunks=(4, 8, 8), dtype="f4")
        array[...] = 1
        return array
    np.save(folder / "v.npy", np.ones((8, 8, 8), "f4"))
    return open_source(folder / "v.npy") if kind == "file" else np.load(folder / "v.npy", mmap_mode="r")


@pytest.mark.parametrize("kind", ["zarr", "file", "map"])
@pytest.mark.parametrize("run", RUNS)
def test_a_source_that_is_changed_while_the_run_is_on_is_no_success(
    kind: str, run: dict[str, Any], tmp_path: Path
) -> None:
    source = source_of(kind, tmp_path)

    def change(event: Any) -> None:
        if type(event).__name__ == "TileDone" and event.tile.number == 1:
            rewrite(kind, tmp_path)

    with pytest.raises(SourceChangedError, match="was changed while the run read it"):
        map_tiles(np.negative, source, out=tmp_path / "o.npy", tile_shape=4, callbacks=[change], **run)
    assert not (tmp_path / "o.npy").exists()
    with pytest.raises(SourceChangedError):
        collect_tiles(np.sum, source, tile_shape=4, callbacks=[lambda event: rewrite(kind, tmp_path)], **run)


def test_what_the_run_itself_writes_into_the_file_of_its_source_is_no_change(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.ones((8, 64)))
    whole = np.load(tmp_path / "v.npy", mmap_mode="r+")
    map_tiles(np.negative, whole[:4], out=whole[4:], tile_shape=2, executor="serial")
    assert (whole[4:] == -1).all()


@pytest.mark.parametrize("executor", ["serial", "threads"])
@pytest.mark.parametrize("columns", [2048, 16])
def test_a_file_that_is_cut_off_ends_the_run_and_not_the_process(executor: str, columns: int, tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.ones((64, 64, columns), "f4"))
    code = textwrap.dedent(
        f"""
        import os
        import numpy as np
        from tilecore import TileError, map_tiles
        def function(block, tile):
            if tile.number == 3:
                os.truncate("v.npy", 4096)
            return block + 1
        try:
            map_tiles(function, np.load("v.npy", mmap_mode="r"), tile_shape=(4, 64, {columns}), pass_tile=True,
                      executor="{executor}", workers=1)
        except TileError as error:
            print(error)
        """
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "v.npy was cut off while it was in use" in result.stdout
    assert "Tile" in result.stdout or "tile" in result.stdout


def test_a_file_that_is_cut_off_names_the_tile(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.ones(SHAPE, "f4"))

    def cut(event: Any) -> None:
        if type(event).__name__ == "TileDone":
            os.truncate(tmp_path / "v.npy", 4096)

    source = np.load(tmp_path / "v.npy", mmap_mode="r")
    with pytest.raises(TileError, match=r"tile .*cut off|tile .*changed its size") as info:
        map_tiles(np.negative, source, tile_shape=(1, 64, 2048), callbacks=[cut], workers=1)
    assert info.value.failures[0].tile.number > 0


class Cached:
    """Array that returns the same block object again and again."""

    shape, dtype = (4, 4), np.dtype(float)

    def __init__(self) -> None:
        self.block = np.zeros((4, 4))

    def __getitem__(self, index: Any) -> np.ndarray:
        return self.block


def add_in_place(block: np.ndarray) -> np.ndarray:
    block += 1
    return block


@pytest.mark.parametrize("executor", ["serial", "threads"])
def test_a_copy_is_one_also_of_what_the_source_keeps(executor: str) -> None:
    source = Cached()
    for _ in range(3):
        assert (map_tiles(add_in_place, source, tile_shape=4, copy=True, executor=executor) == 1).all()
    assert not source.block.any()


@pytest.mark.parametrize("suffix", [".npy", ".zarr", ".ome.zarr", ".tif", ".h5"])
def test_a_sink_of_ones_own_can_be_read_when_it_is_written(suffix: str, tmp_path: Path) -> None:
    sink = create_sink(tmp_path / f"o{suffix}", (8, 8, 8), "f4", **({"chunks": 4} if "zarr" in suffix else {}))
    with sink:
        result = map_tiles(np.negative, np.ones((8, 8, 8), "f4"), out=sink, tile_shape=8, executor="serial")
        assert (np.asarray(result[2:4]) == -1).all()
    assert (np.asarray(open_source(tmp_path / f"o{suffix}")) == -1).all()


@pytest.mark.parametrize("options", [{"tile_shape": 4}, {}, {"tile_shape": 4, "cancel": threading.Event()}])
def test_a_run_that_failed_keeps_no_file_open(options: dict[str, Any], tmp_path: Path) -> None:
    """A failed run frees its open files at once, without garbage collection."""

    def fails(block: np.ndarray) -> np.ndarray:
        raise ValueError("as asked")

    np.save(tmp_path / "v.npy", np.ones((8, 8, 8)))
    gc.collect()
    before = os.listdir("/proc/self/fd")
    gc.disable()
    try:
        with pytest.raises(TileError, match="as asked"):
            map_tiles(fails, tmp_path / "v.npy", executor="serial", retries=0, **options)
        assert os.listdir("/proc/self/fd") == before
    finally:
        gc.enable()
