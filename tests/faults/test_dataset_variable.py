"""Faults while a variable of a dataset is written: processes that are killed."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from tests.faults.harness import Session, places
from tests.faults.test_rechunk import killing_itself
from tilecore import DatasetVariable, TileDone, map_tiles

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
