"""Faults while a volume gets other chunks: processes that are killed in either pass, and a full disk."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from tests.faults.harness import Session, places
from tests.faults.test_memory_and_storage import in_small_filesystem
from tilecore import RunStarted, TileDone, rechunk

VOLUME = np.random.default_rng(0).integers(0, 1000, (12, 20, 16), np.uint16)
#: Two passes: 12 tiles of a plane, then 10 tiles of columns.
OPTIONS: dict[str, Any] = {"chunks": (12, 4, 4), "max_memory": 4000, "workers": 2, "progress": False}
N_PLANES = 12


@pytest.fixture
def planes(tmp_path: Path) -> Path:
    path = tmp_path / "planes.zarr"
    zarr.create_array(path, data=VOLUME, chunks=(1, 20, 16))
    return path


def killing_itself(n_tiles: int) -> Callable[[object], None]:
    """Return a callback that kills this process when so many tiles are done."""
    left = [n_tiles]

    def look(event: object) -> None:
        if isinstance(event, TileDone):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return look


@pytest.mark.parametrize(
    ("n_tiles", "name"),
    [*[(n, "out.zarr") for n in (1, 7, N_PLANES, N_PLANES + 1, N_PLANES + 9)], (3, "out.h5"), (N_PLANES + 3, "out.h5")],
)
def test_a_killed_run_goes_on_in_either_pass(planes: Path, tmp_path: Path, n_tiles: int, name: str) -> None:
    """The result is equal, done tiles are not done again, and nothing else is left."""
    out = tmp_path / name
    session = Session(lambda: rechunk(planes, out, **OPTIONS, callbacks=[killing_itself(n_tiles)]))
    assert session.wait()[0] == -signal.SIGKILL
    assert not out.exists()
    assert len(places(out)) == 1
    starts: list[RunStarted] = []

    def look(event: object) -> None:
        if isinstance(event, RunStarted):
            starts.append(event)

    result = rechunk(planes, out, **OPTIONS, resume=True, callbacks=[look])
    with result:
        np.testing.assert_array_equal(result[...], VOLUME)
    n_left = 22 - n_tiles + 1  # the last one may not be in the journal
    may_be_damaged = name == "out.h5" and n_tiles > N_PLANES  # HDF5, when its writer dies: then it starts over
    assert may_be_damaged or sum(each.n_tiles - each.n_done for each in starts) <= n_left
    assert sorted(each.name for each in tmp_path.iterdir()) == [name, "planes.zarr"]


@pytest.mark.parametrize("n_tiles", [3, N_PLANES + 3])
def test_what_a_killed_run_left_goes_with_the_next(planes: Path, tmp_path: Path, n_tiles: int) -> None:
    out = tmp_path / "out.zarr"
    Session(lambda: rechunk(planes, out, **OPTIONS, callbacks=[killing_itself(n_tiles)])).wait()
    np.testing.assert_array_equal(rechunk(planes, out, **OPTIONS)[...], VOLUME)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["out.zarr", "planes.zarr"]


def test_it_is_killed_again_and_again(planes: Path, tmp_path: Path) -> None:
    """Each attempt does a tile or two, whatever the pass."""
    out = tmp_path / "out.zarr"
    for _ in range(40):
        run = Session(lambda: rechunk(planes, out, **OPTIONS, resume=True, callbacks=[killing_itself(2)]))
        if run.wait()[0] == 0:
            break
    np.testing.assert_array_equal(rechunk(planes, out, **OPTIONS, resume=True)[...], VOLUME)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["out.zarr", "planes.zarr"]


@pytest.mark.parametrize("n_tiles", [3, N_PLANES + 3])
def test_ctrl_c_leaves_what_can_be_continued(planes: Path, tmp_path: Path, n_tiles: int) -> None:
    out = tmp_path / "out.zarr"
    left = [n_tiles]

    def interrupt(event: object) -> None:
        if isinstance(event, TileDone):
            left[0] -= 1
            if left[0] == 0:
                signal.raise_signal(signal.SIGINT)

    code, output = Session(lambda: rechunk(planes, out, **OPTIONS, callbacks=[interrupt])).wait()
    assert code == 1
    assert "KeyboardInterrupt" in output
    np.testing.assert_array_equal(rechunk(planes, out, **OPTIONS, resume=True)[...], VOLUME)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["out.zarr", "planes.zarr"]


DISK_FULL = """
import os
import numpy as np, zarr
import tilecore
volume = np.random.default_rng(0).integers(0, 2**16, (16, 128, 128), np.uint16)  # 0.5 MiB, in a disk of 2 MiB
zarr.create_array("{source}", data=volume, chunks=(1, 128, 128))
options = dict(chunks=(16, 32, 32), codec="none", max_memory=400_000, workers=2, progress=False, retries=0)
assert len(tilecore.rechunk("{source}", "/mnt/out.zarr", **options, dry_run=True).passes) == 2
ballast = open("/mnt/ballast", "wb"); ballast.write(b"x" * {ballast}); ballast.close()
try:
    tilecore.rechunk("{source}", "/mnt/out.zarr", **options)
except {error} as error:
    assert "{text}" in str(error), error
else:
    raise SystemExit("no error")
assert os.listdir("/mnt").count("ballast") == len(os.listdir("/mnt")) - {n_left}, os.listdir("/mnt")
os.unlink("/mnt/ballast")
assert (tilecore.rechunk("{source}", "/mnt/out.zarr", **options, resume=True)[...] == volume).all()
assert os.listdir("/mnt") == ["out.zarr"]
print("ok")
"""


@pytest.mark.parametrize(
    ("ballast", "error", "text", "n_left"),
    [
        pytest.param(1_500_000, "tilecore.DiskSpaceError", "/mnt/out.zarr needs 768.0 KiB", 0, id="before any work"),
        pytest.param(1_100_000, "tilecore.TileError", "No space left", 1, id="in the second pass"),
    ],
)
def test_a_full_disk(tmp_path: Path, ballast: int, error: str, text: str, n_left: int) -> None:
    """It is seen before any work; if others have filled it meanwhile, the run goes on when it has room again."""
    script = DISK_FULL.format(source=tmp_path / "in.zarr", ballast=ballast, error=error, text=text, n_left=n_left)
    result = in_small_filesystem(script, "/mnt", "2m")
    assert result.stdout.strip() == "ok", result.stderr
