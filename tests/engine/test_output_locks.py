"""Tests of output locks: one run at a time writes an output, whatever name is used for it."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from tests.faults.harness import HANGS
from tilecore import UnwritableFileError, map_tiles

SHAPE = (8, 64, 64)


def given(kind: str, folder: Path) -> Any:
    if kind == "array":
        return np.empty(SHAPE)
    if kind == "zarr":
        return zarr.create_array(folder / "o.zarr", shape=SHAPE, chunks=(8, 8, 8), dtype="f8", overwrite=True)
    return np.lib.format.open_memmap(folder / "o.npy", mode="w+", dtype="f8", shape=SHAPE)


class Meeting:
    """Function that makes one run wait in its first tile until another run has been tried."""

    def __init__(self) -> None:
        self.begun, self.tried = threading.Event(), threading.Event()

    def first(self, out: Any) -> None:
        def waits(block: np.ndarray) -> np.ndarray:
            self.begun.set()
            assert self.tried.wait(HANGS)
            return block + 1

        map_tiles(waits, np.zeros(SHAPE), out=out, tile_shape=8, executor="serial", journal=False, progress=False)

    def second(self, out: Any, **options: Any) -> None:
        assert self.begun.wait(HANGS)
        try:
            options = {"executor": "serial", "journal": False, "tile_shape": 8} | options
            map_tiles(np.positive, np.zeros(SHAPE), out=out, **options)
        finally:
            self.tried.set()


@pytest.mark.parametrize("kind", ["array", "map", "zarr"])
def test_a_second_run_into_an_array_is_refused(kind: str, tmp_path: Path) -> None:
    out, meeting = given(kind, tmp_path), Meeting()
    with ThreadPoolExecutor(1) as thread:
        first = thread.submit(meeting.first, out)
        with pytest.raises(UnwritableFileError, match="is being written by another run"):
            meeting.second(out)
        first.result()
    assert (np.asarray(out[...]) == 1).all()
    map_tiles(np.positive, np.zeros(SHAPE), out=out, tile_shape=8, executor="serial")
    assert not np.asarray(out[...]).any()


@pytest.mark.parametrize("suffix", [".npy", ".zarr", ".ome.zarr", ".tif", ".h5"])
def test_a_second_run_into_a_file_is_refused(suffix: str, tmp_path: Path) -> None:
    meeting, path = Meeting(), tmp_path / f"o{suffix}"
    with ThreadPoolExecutor(1) as thread:

        def first() -> None:
            def waits(block: np.ndarray) -> np.ndarray:
                meeting.begun.set()
                assert meeting.tried.wait(HANGS)
                return block + 1

            map_tiles(waits, np.zeros(SHAPE), out=path, dtype="f8", executor="serial", journal=False, tile_shape=64)

        running = thread.submit(first)
        with pytest.raises(UnwritableFileError, match="is being written already"):
            meeting.second(path, tile_shape=64, dtype="f8", overwrite=True)
        running.result()
    assert (np.asarray(map_tiles(np.positive, path, tile_shape=64, executor="serial")) == 1).all()
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("kind", ["map", "zarr"])
def test_another_process_is_kept_out_of_an_array_on_disk(kind: str, tmp_path: Path) -> None:
    out, meeting = given(kind, tmp_path), Meeting()
    code = textwrap.dedent(
        """
        import numpy as np, zarr
        from tilecore import UnwritableFileError, map_tiles
        out = np.load("o.npy", mmap_mode="r+") if KIND == "map" else zarr.open_array("o.zarr", mode="r+")
        try:
            map_tiles(np.positive, np.zeros((8, 64, 64)), out=out, tile_shape=8, executor="serial")
        except UnwritableFileError as error:
            print(error)
        """
    ).replace("KIND", repr(kind))
    with ThreadPoolExecutor(1) as thread:
        first = thread.submit(meeting.first, out)
        assert meeting.begun.wait(HANGS)
        said = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
        meeting.tried.set()
        first.result()
    assert "is being written by another run" in said.stdout
    assert (np.asarray(out[...]) == 1).all()


def test_parts_of_an_array_that_share_no_voxel_are_written_at_once(tmp_path: Path) -> None:
    whole, meeting = np.lib.format.open_memmap(tmp_path / "o.npy", mode="w+", dtype="f8", shape=(16, 64, 64)), Meeting()
    with ThreadPoolExecutor(1) as thread:
        first = thread.submit(meeting.first, whole[:8])
        meeting.second(whole[8:])
        first.result()
    assert (whole[:8] == 1).all()
    assert not whole[8:].any()
