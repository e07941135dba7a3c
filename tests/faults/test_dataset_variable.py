"""Faults while a variable of a dataset is written: processes that are killed, and a full disk."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from tests.faults.harness import Session, places
from tests.faults.test_memory_and_storage import in_small_filesystem
from tests.faults.test_rechunk import killing_itself
from tests.faults.test_steps import OnceAtStep, sweep
from tilecore import DatasetVariable, SharedArray, TileDone, map_tiles

MOVIE = xr.DataArray(
    np.random.default_rng(0).integers(0, 1000, (12, 20, 16), np.uint16),
    dims=("frame", "height", "width"),
    coords={"frame": np.arange(12) * 2, "animal": "m1"},
    name="movie",
)
OPTIONS: dict[str, Any] = {"tile_shape": {"frame": 1}, "workers": 2, "progress": False}


@pytest.mark.parametrize("n_tiles", [1, 6, 12])
def test_a_killed_run_goes_on_and_the_old_variable_stays_until_then(tmp_path: Path, n_tiles: int) -> None:
    out, path = DatasetVariable(tmp_path, "movie"), tmp_path / "movie.zarr"
    map_tiles(np.copy, MOVIE, out=out, **OPTIONS)
    again: dict[str, Any] = OPTIONS | {"out": out, "overwrite": True}
    session = Session(lambda: map_tiles(np.invert, MOVIE, **again, callbacks=[killing_itself(n_tiles)]))
    assert session.wait()[0] == -signal.SIGKILL
    xr.testing.assert_identical(xr.open_zarr(path)["movie"].compute(), MOVIE)
    assert len(places(path)) == 1
    events: list[object] = []
    found = map_tiles(np.invert, MOVIE, **again, resume=True, callbacks=[events.append])
    xr.testing.assert_identical(found.compute(), MOVIE.copy(data=~MOVIE.values))
    assert sum(isinstance(event, TileDone) for event in events) <= 12 - n_tiles + 1
    assert os.listdir(tmp_path) == ["movie.zarr"]


def die(step: int, parent: Path) -> bool:
    """Kill a run at a step: the variable is the old one or the new one, and the next run works as ever."""
    folder = parent / str(step)
    out, once = DatasetVariable(folder, "movie"), SharedArray((1,), "i8")
    again: dict[str, Any] = {"tile_shape": {"frame": 6}, "executor": "serial", "out": out, "overwrite": True}
    map_tiles(np.copy, MOVIE, **again)

    def run() -> None:
        OnceAtStep(step, once).install()
        map_tiles(np.invert, MOVIE, **again)

    code, output = Session(run).wait()
    died = bool(once[0])
    assert code == (-signal.SIGKILL if died else 0), output
    found = xr.open_zarr(folder / "movie.zarr")["movie"].compute()
    assert found.identical(MOVIE) or found.identical(MOVIE.copy(data=~MOVIE.values))
    map_tiles(np.negative, MOVIE, **again)
    xr.testing.assert_identical(xr.open_zarr(folder / "movie.zarr")["movie"].compute(), -MOVIE)
    assert [name for name in os.listdir(folder) if not name.endswith(".journal")] == ["movie.zarr"]
    return died


def test_death_at_some_steps_of_a_run(tmp_path: Path) -> None:
    sweep(range(1, 99999, 149), partial(die, parent=tmp_path))


@pytest.mark.slow
def test_death_at_many_steps_of_a_run(tmp_path: Path) -> None:
    sweep(range(1, 99999, 17), partial(die, parent=tmp_path))


DISK_FULL = """
import os
import numpy as np, xarray as xr
from tilecore import DatasetVariable, DiskSpaceError, TileError, map_tiles
values = np.random.default_rng(0).integers(0, 2**16, (16, 128, 128), np.uint16)  # 0.5 MiB
movie = xr.DataArray(values, dims=("z", "y", "x"), coords={"z": np.arange(16) * 2.0})
options = {"tile_shape": {"z": 4, "y": -1, "x": -1}, "out": DatasetVariable("/mnt", "Y"), "executor": "serial"}
map_tiles(np.copy, movie[:2], **options)

def refused(kind, source, text, **more):
    try:
        map_tiles(np.copy, source, overwrite=True, retries=0, **options, **more)
    except kind as error:
        assert "/mnt/Y.zarr" in str(error) and text in str(error), error
    else:
        raise SystemExit("no error")
    xr.testing.assert_identical(xr.open_zarr("/mnt/Y.zarr")["Y"].compute(), movie[:2].rename("Y"))

with open("/mnt/ballast", "wb") as ballast:
    ballast.write(b"x" * 600_000)
refused(DiskSpaceError, movie, "/mnt/Y.zarr needs 512.0 KiB")
noise = np.random.default_rng(0).random((2, 128, 128))
refused(DiskSpaceError, movie[:2].assign_coords(noise=(("z", "y", "x"), noise)), "/mnt/Y.zarr needs 64.0 KiB")
assert sorted(os.listdir("/mnt")) == ["Y.zarr", "ballast"], os.listdir("/mnt")
os.truncate("/mnt/ballast", 400_000)
refused(TileError, movie, "No space left", journal=False)
assert sorted(os.listdir("/mnt")) == ["Y.zarr", "ballast"], os.listdir("/mnt")
refused(TileError, movie, "No space left")
os.unlink("/mnt/ballast")
events = []
found = map_tiles(np.copy, movie, overwrite=True, resume=True, callbacks=[events.append], **options)
xr.testing.assert_identical(found.compute(), movie.rename("Y"))
assert 0 < sum(type(event).__name__ == "TileDone" for event in events) < 4
assert os.listdir("/mnt") == ["Y.zarr"], os.listdir("/mnt")
print("ok")
"""


def test_a_full_disk() -> None:
    """It is seen before any work; if others have filled it meanwhile, the run goes on when it has room again."""
    result = in_small_filesystem(DISK_FULL, "/mnt", "900k")
    assert result.stdout.strip() == "ok", result.stderr
