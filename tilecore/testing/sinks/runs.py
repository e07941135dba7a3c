"""The contract of sinks, third part: runs that write one, fail, are killed, and go on."""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tilecore.engine.events import Event, TileDone
from tilecore.engine.mapping import map_tiles
from tilecore.errors import AlignmentError, TileError
from tilecore.formats.creating import create_sink, prepare_sink
from tilecore.formats.opening import open_source
from tilecore.geometry.tiles import Tile
from tilecore.testing.patience import HANGS
from tilecore.testing.sinks.file_driver import Driver, same, volume

__all__ = ["RunContract"]


class _FailsAtThree:
    """Fails at one tile while a file is there; writes down which tiles it was called for."""

    def __init__(self, folder: Path) -> None:
        self.trigger, self.log = folder / "trigger", folder / "log"

    def __call__(self, block: npt.NDArray[Any], tile: Tile) -> npt.NDArray[Any]:
        if tile.number == 3 and self.trigger.exists():
            raise ValueError("as asked")
        with self.log.open("a") as file:
            file.write(f"{tile.number}\n")
        return block


class RunContract(Driver):
    """Runs write a sink from all workers; what failed leaves nothing, or what can be continued."""

    @pytest.mark.parametrize("start_method", ["fork", "forkserver"])
    def test_workers_write_it(self, tmp_path: Path, start_method: str) -> None:
        """Several processes at once, each its own tiles."""
        if start_method not in multiprocessing.get_all_start_methods():
            pytest.skip("this system does not start processes like that")
        run: dict[str, Any] = {"tile_shape": self.tiles(tmp_path), "workers": 2, "start_method": start_method}
        result = map_tiles(same, volume(), out=self.plan(tmp_path), **run)
        np.testing.assert_array_equal(result[...], volume(), err_msg="the run must give back what was written")
        self.check_written(tmp_path)

    def test_a_callers_sink_is_the_callers_to_complete(self, tmp_path: Path) -> None:
        """A run that is given a sink writes into it, and leaves it open."""
        with self.create(tmp_path) as sink:
            result = map_tiles(same, volume(), out=sink, executor="threads", workers=2)
            assert not self.path(tmp_path).exists(), "a run must not complete the sink of its caller"
            np.testing.assert_array_equal(np.asarray(result), volume(), err_msg="the run must give back its sink")
        self.check_written(tmp_path)

    def test_tiles_that_share_a_write_unit_are_refused(self, tmp_path: Path) -> None:
        """Two that write one unit would lose each other's voxels."""
        units = self.plan(tmp_path).write_units
        if units is None or max(units) == 1:
            pytest.skip("each voxel of this kind can be written alone")
        shape = tuple([max(length - 1, 1) for length in units])
        with pytest.raises(AlignmentError):
            map_tiles(same, volume(), out=self.plan(tmp_path), tile_shape=shape, executor="serial")
        assert os.listdir(tmp_path) == [], "a run that is refused must leave nothing"

    def test_a_failed_run_leaves_nothing(self, tmp_path: Path) -> None:
        """Nothing at all, where no tile was finished."""

        def fail(_: npt.NDArray[Any]) -> None:
            raise ValueError("as asked")

        run: dict[str, Any] = {"tile_shape": self.tiles(tmp_path), "executor": "serial", "retries": 0}
        with pytest.raises(TileError):
            map_tiles(fail, volume(), out=self.plan(tmp_path), dtype="uint16", **run)
        assert os.listdir(tmp_path) == [], "a run that has finished no tile must leave nothing"

    def test_a_run_goes_on_where_it_failed(self, tmp_path: Path) -> None:
        """Only the tile that failed is computed again."""
        function, folder = _FailsAtThree(tmp_path), tmp_path / "out"
        folder.mkdir()
        function.trigger.touch()
        run: dict[str, Any] = {"tile_shape": self.tiles(tmp_path), "retries": 0, "executor": "serial"}
        run |= {"pass_tile": True, "dtype": "uint16"}
        with pytest.raises(TileError, match="as asked") as kept:  # and with it all that the run had open
            map_tiles(function, volume(), out=self.plan(folder), on_error="finish", **run)
        assert not self.path(folder).exists(), "a file of a failed run must not have its name"
        function.trigger.unlink()
        done = function.log.read_text().split()
        map_tiles(function, volume(), out=self.plan(folder), resume=True, **run)
        del kept
        assert function.log.read_text().split() == [*done, "3"], "only what is missing must be computed again"
        self.check_written(folder)

    @pytest.mark.parametrize("n_done", [1, 3, 5])
    def test_a_run_that_was_killed_goes_on(self, tmp_path: Path, n_done: int) -> None:
        """What was finished when the process was killed is not computed again."""
        if "fork" not in multiprocessing.get_all_start_methods():
            pytest.skip("this system cannot fork a process that is to be killed")
        folder, number, done = tmp_path / "out", iter(range(1, 100)), set()
        folder.mkdir()
        run: dict[str, Any] = {"tile_shape": self.tiles(tmp_path), "executor": "serial", "dtype": "uint16"}
        run["out"] = self.plan(folder)

        def die(event: Event) -> None:
            if isinstance(event, TileDone) and next(number) > n_done:
                os.kill(os.getpid(), signal.SIGKILL)

        def see(event: Event) -> None:
            if isinstance(event, TileDone):
                done.add(event.tile.number)

        _run_to_death(functools.partial(map_tiles, same, volume(), callbacks=[die], **run))
        map_tiles(same, volume(), resume=True, callbacks=[see], **run)
        assert not done & set(range(n_done)), "a tile that was finished must not be computed again"
        self.check_written(folder)

    def test_levels_are_the_same_whoever_makes_them(self, tmp_path: Path) -> None:
        """Coarser levels, where the kind of file has them: made by workers, or by who completes the file."""
        large = np.random.default_rng(4).integers(0, 120, (3, 40, 530)).astype("uint16")  # small ones may have none
        here, there = tmp_path / "here", tmp_path / "there"
        here.mkdir()
        there.mkdir()
        with create_sink(self.target(here), large.shape, "uint16", **self.options) as sink:
            sink[...] = large
        levels = open_source(self.target(here)).info.levels
        if len(levels) < 2:
            pytest.skip("this kind has no levels")
        out = prepare_sink(self.target(there), large.shape, **self.options)
        map_tiles(same, large, out=out, executor="threads", workers=2)
        assert levels[0] == large.shape, "the finest level must be the volume"
        for number, shape in enumerate(levels):
            level = open_source(self.target(here), level=number)
            assert level.shape == shape, "each level must have the shape that the file says"
            law = "a level must not depend on who makes it"
            np.testing.assert_array_equal(level[...], open_source(self.target(there), level=number)[...], err_msg=law)
            assert large.min() <= np.min(level[...]) <= np.max(level[...]) <= large.max(), (
                "levels must be of the volume"
            )


def _run_to_death(function: Callable[[], Any]) -> None:
    """Call a function in a process of its own, which it kills."""
    process = multiprocessing.get_context("fork").Process(target=function)
    process.start()
    process.join(HANGS)
    exitcode = process.exitcode
    if exitcode is None:
        process.kill()
        process.join()
    process.close()
    assert exitcode == -signal.SIGKILL, f"the run must last until it is killed; it ended with {exitcode}"
