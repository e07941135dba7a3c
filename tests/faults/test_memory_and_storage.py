"""Tests of too little memory or disk, and too large sizes (rows 23, 24, 27 to 29, 35, 36, 41, 43)."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from tests.faults.harness import HANGS, TILES, VOLUME, Once, Session, wait_until_removed
from tilecore import (
    AlignmentError,
    MemoryBudgetError,
    ParameterError,
    SharedArray,
    SharedMemoryError,
    TilecoreError,
    TileError,
    TileGrid,
    map_tiles,
    plan_tiles,
    pmap_chunks,
)

IN_SMALL_SHM = """
import numpy as np, os, tilecore
volume = np.random.default_rng(0).random((64, 64, 64))
for method in ("fork", "forkserver", "spawn"):
    result = tilecore.map_tiles(np.sqrt, volume, tile_shape=32, workers=2, start_method=method)
    assert (result == np.sqrt(volume)).all()
    results = tilecore.collect_tiles(np.copy, volume, tile_shape=32, workers=2, start_method=method)
    assert results[0].nbytes == 32**3 * 8
assert not os.listdir("/dev/shm")
print("ok")
"""


def in_small_filesystem(code: str, place: str, size: str = "1m") -> subprocess.CompletedProcess[str]:
    """Run Python with a tiny file system mounted at a path for it alone; skip the test if that is not allowed."""
    command = f"mount -t tmpfs -o size={size},nr_inodes=64 none {place} && exec {sys.executable} -"
    result = subprocess.run(
        ["unshare", "-m", "sh", "-c", command], input=code, capture_output=True, text=True, timeout=HANGS
    )
    if "unshare:" in result.stderr or "mount:" in result.stderr:
        pytest.skip(f"mounting is not allowed here: {result.stderr.strip()}")
    return result


def test_a_small_dev_shm_binds_nothing() -> None:
    """Row 23: a /dev/shm of 1 MiB, as in containers, does not limit arrays."""
    result = in_small_filesystem(IN_SMALL_SHM, "/dev/shm")
    assert result.stdout.strip() == "ok", result.stderr


def test_arrays_larger_than_the_cgroup_are_refused_before_anything_is_taken() -> None:
    """Row 24: too large arrays are refused first, as the kernel would kill this process while it allocates."""
    folder = Path(f"/sys/fs/cgroup/memory/tilecore-refuse-{os.getpid()}")
    try:
        folder.mkdir()
        (folder / "memory.limit_in_bytes").write_text(str(200 * 2**20))
    except OSError as error:
        pytest.skip(f"memory cgroups cannot be made here: {error}")

    def run() -> None:
        (folder / "cgroup.procs").write_text(str(os.getpid()))
        for make in (
            lambda: SharedArray((400, 2**20), "u1"),
            lambda: map_tiles(np.sqrt, np.broadcast_to(1.0, (64, 2**20)), tile_shape=(1, 2**20), dtype="f8"),
        ):
            with pytest.raises((SharedMemoryError, MemoryBudgetError), match="free"):
                make()
        plan = plan_tiles((400, 1024, 1024), "u1", workers=2)
        assert plan.total_bytes < 100 * 2**20
        print("ok")

    try:
        code, output = Session(run).wait()
        assert (code, output.strip()) == (0, "ok"), output
    finally:
        wait_until_removed(folder)


@pytest.mark.parametrize("shape", [(2**22,) * 3, (2**31, 2**31), (2**60,), (2**40, 2**40, 2**40)])
def test_sizes_beyond_any_memory_are_an_error(shape: tuple[int, ...]) -> None:
    """Row 28: sizes beyond any memory are an error, and no number overflows."""
    assert TileGrid(shape, 2**20).volume.size == np.prod([float(length) for length in shape])
    with pytest.raises(SharedMemoryError, match="needed"):
        SharedArray(shape, "u2")
    with contextlib.suppress(ValueError):  # numpy itself refuses the largest
        source = np.broadcast_to(np.uint8(1), shape)
        with pytest.raises(MemoryBudgetError, match="the result needs .*; pass out= with a path|of memory are free"):
            map_tiles(np.copy, source, tile_shape=2**20, dtype="u1", executor="serial")


def test_a_tile_that_fits_nowhere_is_refused() -> None:
    with pytest.raises(MemoryBudgetError, match="max_memory"):
        map_tiles(np.copy, np.zeros((50, 50, 50)), max_memory="1kB", halo=20, executor="serial")


DISK_FULL = """
import os, sys
import numpy as np
import tilecore
volume = np.random.default_rng(0).random((64, 64, 64))
try:
    tilecore.map_tiles(np.sqrt, volume, tile_shape=32, workers=2, out="/mnt/out.npy", dtype="f8")
except OSError as error:
    assert error.errno == 28 and "needs 2.0 MiB" in str(error) and "free" in str(error), error
else:
    raise SystemExit("no error")
assert os.listdir("/mnt") == [], os.listdir("/mnt")
print("ok")
"""


def test_a_full_disk_is_seen_before_any_work() -> None:
    """Row 35, .npy: the disk space is reserved first; a worker without it would die of SIGBUS."""
    result = in_small_filesystem(DISK_FULL, "/mnt")
    assert result.stdout.strip() == "ok", result.stderr


ZARR_FULL = """
import os
import numpy as np, zarr
import tilecore
volume = np.random.default_rng(0).random((8, 64, 64))
out = zarr.create_array("/mnt/out.zarr", shape=volume.shape, chunks=(1, 64, 64), dtype="f8", compressors=None)
ballast = open("/mnt/ballast", "wb"); ballast.write(b"x" * 850_000); ballast.close()
run = dict(tile_shape=(1, 64, 64), workers=2, journal="{journal}", retries=0, progress=False)
try:
    tilecore.map_tiles(np.sqrt, volume, out=out, **run)
except tilecore.TileError as error:
    assert "No space left" in str(error), error
else:
    raise SystemExit("no error")
os.unlink("/mnt/ballast")
tilecore.map_tiles(np.sqrt, volume, out=out, resume=True, **run)
assert (out[...] == np.sqrt(volume)).all()
os.unlink(run["journal"])
print("ok")
"""


def test_a_run_goes_on_when_the_disk_has_room_again(tmp_path: Path) -> None:
    """Row 35, zarr: written tiles are kept, failed ones run again."""
    result = in_small_filesystem(ZARR_FULL.replace("{journal}", str(tmp_path / "journal")), "/mnt")
    assert result.stdout.strip() == "ok", result.stderr


def test_files_that_may_not_grow_are_an_error(tmp_path: Path) -> None:
    """A file size limit (RLIMIT_FSIZE) is an error."""

    def run() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        with pytest.raises(OSError, match=r"large|EFBIG|File"):
            map_tiles(np.sqrt, VOLUME, tile_shape=4, out=tmp_path / "o.npy", dtype="f8", executor="serial")
        print(os.listdir(tmp_path))

    code, output = Session(run).wait()
    assert (code, output.strip()) == (0, "[]"), output


def test_read_only_places_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"o\.npy"):
        map_tiles(np.sqrt, VOLUME, out="/proc/o.npy", dtype="f8", executor="serial")
    with pytest.raises(OSError, match="missing"):
        map_tiles(np.sqrt, VOLUME, out=tmp_path / "missing" / "o.npy", dtype="f8", executor="serial")


def test_what_a_killed_worker_wrote_is_in_the_file(tmp_path: Path) -> None:
    """Row 36: data of a killed worker are in the file without a flush."""
    path = tmp_path / "o.npy"
    deed = Once(tmp_path, lambda: os.kill(os.getpid(), signal.SIGKILL), (3, 9))
    map_tiles(deed, VOLUME, out=path, dtype="f8", **TILES)
    np.testing.assert_array_equal(np.load(path), VOLUME + 1)


@pytest.mark.parametrize("layout", [{"chunks": (4, 4, 4)}, {"chunks": (2, 2, 2), "shards": (4, 4, 4)}])
def test_no_voxel_is_lost_in_chunks_or_shards(layout: dict[str, Any], tmp_path: Path) -> None:
    """Row 29: tiles are whole storage units, or they are refused."""
    volume = np.random.default_rng(1).integers(1, 60_000, (16, 16, 16)).astype(np.uint16)
    for turn in range(8):
        out = zarr.create_array(tmp_path / f"{turn}.zarr", shape=volume.shape, dtype="u2", **layout)
        tile_shape = (4, 8, 4) if turn % 2 else None
        map_tiles(lambda block: block, volume, tile_shape=tile_shape, out=out, workers=2, start_method="fork")
        np.testing.assert_array_equal(out[...], volume)
        with pytest.raises(AlignmentError, match="data would be lost"):
            map_tiles(lambda block: block, volume, tile_shape=(4, 6, 4), out=out, workers=2)


def test_arrays_of_python_objects_are_never_loaded(tmp_path: Path) -> None:
    """Row 43: Python objects are not loaded, even if a file claims to hold them."""
    np.save(tmp_path / "evil.npy", np.array([Evil(tmp_path)]), allow_pickle=True)
    with pytest.raises(TilecoreError, match=r"evil\.npy"):
        map_tiles(np.copy, tmp_path / "evil.npy", executor="serial")
    assert not (tmp_path / "ran").exists()


class Evil:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return (self.folder / "ran").touch, ()


@pytest.mark.parametrize("damage", ["short", "header", "empty", "text", "folder"])
def test_damaged_npy_files_are_an_error(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "v.npy"
    np.save(path, VOLUME)
    content = path.read_bytes()
    if damage == "folder":
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(
            {"short": content[:-100], "header": b"\x93NUMPY\x09\x00" + content[8:], "empty": b"", "text": b"z,y,x\n"}[
                damage
            ]
        )
    with pytest.raises(TilecoreError, match=r"v\.npy"):
        map_tiles(np.copy, path, executor="serial")


def test_missing_files_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nothing"):
        map_tiles(np.copy, tmp_path / "nothing.npy")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_pass_through_floats_unchanged(value: float) -> None:
    """Row 41: NaN and infinity are unchanged at an edge that two tiles read and one owns."""
    volume = VOLUME.copy()
    volume[3:5, 5:7, 5:7] = value
    result = map_tiles(lambda block: 2 * block, volume, tile_shape=(4, 6, 6), halo=2, workers=2)
    np.testing.assert_array_equal(result, 2 * volume)
    with pytest.raises(TileError, match="do not fit"):
        map_tiles(lambda block: block, volume, tile_shape=(4, 6, 6), dtype="u2", executor="serial")


def test_shared_arrays_are_one_copy() -> None:
    def taken() -> int:
        """Shared memory of this process [byte]."""
        opened = [os.fstat(int(number)) for number in os.listdir("/proc/self/fd") if _is_shared_memory(number)]
        return sum(status.st_blocks * 512 for status in opened)

    before = taken()
    arrays = [SharedArray.from_array(np.ones((8, 2**20), dtype=np.uint8)) for _ in range(3)]
    assert taken() - before == 3 * 8 * 2**20
    results = pmap_chunks(lambda arr, start, chunks: int(arr[start[0]].sum()), arrays[0].view(), (1, 2**20), 2)
    assert results == [2**20] * 8


def _is_shared_memory(number: str) -> bool:
    with contextlib.suppress(OSError):  # it was the listing's own
        return os.readlink(f"/proc/self/fd/{number}").startswith("/memfd:tilecore")
    return False


def test_zero_lengths_everywhere() -> None:
    """Row 27: empty axes are allowed everywhere."""
    for shape in [(0, 4, 4), (4, 0, 4), (4, 4, 0)]:
        assert map_tiles(np.copy, np.zeros(shape), tile_shape=9, halo=3).shape == shape
        assert SharedArray.from_array(np.zeros(shape)).view().shape == shape
        assert pmap_chunks(lambda *_: 1, np.zeros(shape), (2, 2, 2), 2) == []
    with pytest.raises(ParameterError):
        map_tiles(np.copy, np.zeros((4, 4)), tile_shape=(0, 4))
