"""Open files that are passed to worker processes as they start."""

from __future__ import annotations

import os
from multiprocessing import reduction
from typing import Any, Protocol, Self

__all__ = ["Descriptor", "Duplicate"]


class Duplicate(Protocol):
    """A descriptor on its way to another process, as `multiprocessing.reduction.DupFd` makes them."""

    def detach(self) -> int:
        """The descriptor's number in the process that it has arrived in."""
        ...


class Descriptor:
    """Descriptor of an open file that can be an argument of a new process.

    Parameters
    ----------
    number : int
        The descriptor; this object owns it from now on and closes it.

    Notes
    -----
    Process-safety: pickles only while a process is being started.
    """

    def __init__(self, number: int) -> None:
        self._number = number

    def fileno(self) -> int:
        """Number of the descriptor in this process."""
        return self._number

    def close(self) -> None:
        """Close the file in this process."""
        number, self._number = self._number, -1
        if number >= 0:
            os.close(number)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_number", -1) >= 0:
            self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _receive, (reduction.DupFd(self._number),)


def _receive(duplicate: Duplicate) -> Descriptor:
    return Descriptor(duplicate.detach())
