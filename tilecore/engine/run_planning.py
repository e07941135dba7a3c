"""Decisions before the tiles of a run: which tiles, how many at once, and what they share."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence

import numpy as np

from tilecore.engine.findings import Findings
from tilecore.engine.pilot import Planner, try_out
from tilecore.engine.request import Request
from tilecore.engine.supply.supply import Supply
from tilecore.errors import ParameterError
from tilecore.executors.abilities import HasMemory, ReservesMemory
from tilecore.executors.base import Crew, Executor
from tilecore.geometry.sharing import Sharing
from tilecore.geometry.tiles import TileGrid

__all__ = ["RunPlanning"]

_log = logging.getLogger(__name__)

# Number of tiles from which on one is a small part of the run.
_MANY_TILES = 16


class RunPlanning:
    """Plans a run, with calls of the function by a worker where it must be known what one costs.

    Parameters
    ----------
    request : Request
        The request.
    supply : Supply
        Supply of the sources.
    executor : Executor
        Executor of the run, which is asked about its workers once that must be known: it may have to wait for them.
    whole_axes : sequence of int
        Axes that tiles must span.
    """

    def __init__(
        self,
        request: Request,
        supply: Supply,
        executor: Executor,
        whole_axes: Sequence[int],
    ) -> None:
        self._executor = executor
        self._request, self._supply, self._whole_axes = request, supply, tuple(whole_axes)
        self._findings: Findings | None = None
        self._chosen: tuple[int, int] | None = None

    @property
    def workers(self) -> int:
        """Number of tiles to work on at once."""
        return self._most if self._chosen is None else self._chosen[0]

    @property
    def processes(self) -> int:
        """Number of workers, those included that only decode."""
        return self._most if self._chosen is None else self._chosen[1]

    @property
    def dtypes(self) -> tuple[np.dtype[np.generic], ...]:
        """Data types of the results, as far as calls have shown them."""
        return () if self._findings is None else self._findings.dtypes

    def tiles(self, units: tuple[int, ...], start: Callable[[], Crew]) -> TileGrid:
        """Choose tiles of whole write units, by calls on small blocks; `start` gives the workers for these.

        If another host has chosen them, only as many workers are chosen as have room for them here.
        """
        planner = self._planner(units)
        if not self._supply.is_stranded:  # slots need tiles of a known shape
            self._findings = self._try_out(planner, start)
        plan = planner.plan(self._findings)
        self._chosen = plan.workers, plan.workers
        _log.info("plan:\n%s", plan)
        return self._request.grid if self._request.chosen_elsewhere else plan.grid

    def found_dtypes(self, units: tuple[int, ...], start: Callable[[], Crew]) -> tuple[np.dtype[np.generic], ...]:
        """Data types of the results, by a call where none has shown them; ParameterError if it does not show them."""
        if not self.dtypes and not self._supply.is_stranded:
            self._findings = self._try_out(self._planner(units), start)
        if not self.dtypes:
            raise ParameterError(
                "dtype: the parts of a run have to know it before they begin, and no call of the function has shown it "
                "(the log tells why): give it, as in dtype='f4'"
            )
        return self.dtypes

    def sharing(self, grid: TileGrid, units: tuple[int, ...], start: Callable[[], Crew]) -> Sharing | None:
        """Plan what the tiles share of the sources; None if no two of them read the same chunk.

        If it was guessed how much memory a call needs, and there is little, a call is made.
        """
        chunked = self._supply.chunked
        if not chunked:
            return None
        planner, sources = self._planner(units), tuple(chunked.values())
        plan = functools.partial(
            planner.sharing, grid, sources, processes=self._most, by_number=self._supply.is_ordered
        )
        sharing = plan(self._findings)
        is_worth_a_call = self._findings is None and not self._supply.is_stranded and grid.size >= _MANY_TILES
        if sharing is not None and not sharing.is_ample(self.workers) and is_worth_a_call:
            self._findings = self._try_out(planner, start)
            sharing = plan(self._findings)
        if sharing is not None:
            self._chosen = sharing.workers, sharing.workers + sharing.decoders
            _log.info("%s", sharing)
        return sharing

    def limit(self, crew: Crew, grid: TileGrid, units: tuple[int, ...]) -> None:
        """Let a crew work on as many tiles at once as were planned."""
        if self.processes < self._most:  # otherwise workers that come later are welcome
            crew.restrict(self.processes)
        if isinstance(crew, ReservesMemory):
            crew.reserve(self._planner(units).tile_bytes(grid, self._findings))

    @functools.cached_property
    def _most(self) -> int:
        """Number of tasks that the executor runs at once."""
        return self._executor.workers

    @functools.cached_property
    def _memory(self) -> int | None:
        """Memory of the executor's workers together [byte]; None if it is that of this machine."""
        return self._executor.memory if isinstance(self._executor, HasMemory) else None

    def _planner(self, units: tuple[int, ...]) -> Planner:
        return self._request.planner(self.workers, units, self._whole_axes, self._memory)

    def _try_out(self, planner: Planner, start: Callable[[], Crew]) -> Findings | None:
        return try_out(start(), planner, self._request.options.cancel)
