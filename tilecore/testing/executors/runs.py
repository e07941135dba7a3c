"""The contract of executors, third part: whole runs over the tiles of a volume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tilecore.engine.collecting import iter_tiles
from tilecore.engine.events import TileDone
from tilecore.engine.mapping import map_tiles
from tilecore.errors import RunCancelledError, TileError
from tilecore.geometry.tiles import Tile
from tilecore.testing.executors.crew_driver import Driver, plain
from tilecore.testing.leaks import CAN_LOOK, nothing_left, start_what_stays

__all__ = ["RunContract"]

_N_TILES = 16
_TILES: dict[str, Any] = {"tile_shape": (2, 6, 6), "halo": 1, "progress": False}

Block = npt.NDArray[Any]


def _volume() -> Block:
    return np.random.default_rng(0).random((8, 12, 12))


def _sum_of_neighbours(block: Block) -> Block:
    """What depends on neighbours in order, so that a halo too few or too many shows."""
    total = block.copy()
    for axis in range(block.ndim):
        before = [(1, 0) if each == axis else (0, 0) for each in range(block.ndim)]
        total += np.delete(np.pad(block, before, mode="edge"), -1, axis)
    return total


class _FailsAt:
    """Raises at one tile, as often as it is told; counts the calls in files, which all workers see."""

    def __init__(self, folder: Path, times: int, number: int = 5) -> None:
        self.folder, self.times, self.number = folder, times, number

    def __call__(self, block: Block, tile: Tile) -> Block:
        if tile.number == self.number and (called := len(list(self.folder.iterdir()))) < self.times:
            (self.folder / str(called)).touch()
            raise ValueError("as asked")
        return block


class _CancelsAfterOne:
    """Hears the events of a run, and is set once a tile is done."""

    def __init__(self) -> None:
        self._is_set = False

    def __call__(self, event: Any) -> None:
        self._is_set |= isinstance(event, TileDone)

    def is_set(self) -> bool:
        return self._is_set


class RunContract(Driver):
    """Runs give the whole volume's result, or an error that names the tiles; and nothing is left."""

    def test_tiles_give_the_result_of_the_whole_volume(self, tmp_path: Path) -> None:
        """In memory, and in a file that workers write."""
        executor, volume = self.make(workers=2), _volume()
        expected = _sum_of_neighbours(volume)
        for out in (None, tmp_path / "result.npy"):
            found = map_tiles(_sum_of_neighbours, volume, out=out, executor=executor, **_TILES)
            law = "tiles must give, to the last bit, what the function gives for the whole volume"
            np.testing.assert_array_equal(found, expected, err_msg=law)

    def test_each_tile_comes_once_in_any_order(self) -> None:
        """Tiles that finish come with their own number and result."""
        tiles, volume = iter_tiles(np.sum, _volume(), executor=self.make(workers=2), **_TILES), _volume()
        sums = {tile.number: (tile, value) for tile, value in tiles}
        assert sorted(sums) == list(range(_N_TILES)), "each tile must come exactly once"
        right = all(value == volume[tile.read.slices].sum() for tile, value in sums.values())
        assert right, "a tile must come with its own result"

    def test_an_error_names_its_tile(self, tmp_path: Path) -> None:
        """With the reason, and how often it was tried."""
        run = {"executor": self.make(workers=2), "pass_tile": True, "retries": 0, **_TILES}
        with pytest.raises(TileError) as error:
            map_tiles(_FailsAt(tmp_path, times=1), _volume(), **run)
        (failure,) = error.value.failures
        assert failure.tile.number == 5, "the error must name the tile that failed, and no other"
        assert failure.reason == "ValueError: as asked", "the error must tell why"
        assert failure.attempts == 1, "without retries a tile must be tried once"

    def test_a_tile_is_tried_again(self, tmp_path: Path) -> None:
        """What fails twice succeeds at the third attempt."""
        run = {"executor": self.make(workers=2), "pass_tile": True, "retries": 2, **_TILES}
        found = map_tiles(_FailsAt(tmp_path, times=2), _volume(), **run)
        law = "a tile that succeeds when it is tried again must be in the result"
        np.testing.assert_array_equal(found, _volume(), err_msg=law)
        assert len(list(tmp_path.iterdir())) == 2, "a tile must be tried again as often as it fails, and no more"

    def test_a_run_can_be_cancelled_and_another_begun(self) -> None:
        """A cancelled run ends in an error; the executor is as good as new."""
        executor, cancel = self.make(workers=2), _CancelsAfterOne()
        with pytest.raises(RunCancelledError):
            map_tiles(np.sqrt, _volume(), executor=executor, cancel=cancel, callbacks=[cancel], **_TILES)
        found = map_tiles(np.sqrt, _volume(), executor=executor, **_TILES)
        np.testing.assert_array_equal(found, np.sqrt(_volume()), err_msg="a run after a cancelled one must succeed")

    def test_runs_leave_nothing_behind(self, tmp_path: Path) -> None:
        """No process, no open file, no name in /dev/shm: however a run has ended."""
        if not CAN_LOOK:
            pytest.skip("the system does not tell what a process has")
        start_what_stays()
        executor, cancel = self.make(workers=2), _CancelsAfterOne()
        with nothing_left():
            map_tiles(np.sqrt, _volume(), executor=executor, **_TILES)
        with nothing_left(), pytest.raises(TileError):
            map_tiles(_FailsAt(tmp_path, 9), _volume(), executor=executor, pass_tile=True, retries=1, **_TILES)
        with nothing_left(), pytest.raises(RunCancelledError):
            map_tiles(np.sqrt, _volume(), executor=executor, cancel=cancel, callbacks=[cancel], **_TILES)
        with nothing_left(), executor.start(plain(lambda task: task)) as crew:
            crew.submit(1)  # and nobody waits for it
