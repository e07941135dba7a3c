"""What executors and their crews may offer beside their protocols; who uses them asks by ``isinstance``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from tilecore.executors.base import Executor

__all__ = ["HasMemory", "ReservesMemory", "WaitsForWorkers"]


@runtime_checkable
class HasMemory(Protocol):
    """An executor whose workers have memory of their own."""

    @property
    def memory(self) -> int | None:
        """Memory that all workers together have for tiles [byte]; None if it is that of this machine."""
        ...


@runtime_checkable
class WaitsForWorkers(Protocol):
    """An executor whose workers may have to come first, before anybody knows how many there are, and what they have."""

    def for_run(self, check_cancel: Callable[[], None]) -> Executor:
        """The same executor for one run, which counts its workers once, and waits for the first of them.

        Parameters
        ----------
        check_cancel : callable
            Called now and then while it waits; it raises an error if the run is cancelled.
        """
        ...


@runtime_checkable
class ReservesMemory(Protocol):
    """A crew whose workers declare what memory they have, so that tasks wait for theirs."""

    def reserve(self, n_bytes: int) -> None:
        """Have each task that is submitted from now on take this much memory [byte]."""
        ...
