"""Errors that tilecore raises; each one is also the built-in error that a caller expects."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

__all__ = [
    "AlignmentError",
    "BoundsError",
    "DiskSpaceError",
    "JournalError",
    "MemoryBudgetError",
    "MissingDependencyError",
    "MissingFileError",
    "NotSupportedError",
    "ObjectStoreError",
    "OutputExistsError",
    "ParameterError",
    "ParameterTypeError",
    "RunCancelledError",
    "SharedMemoryError",
    "ShippingError",
    "SourceChangedError",
    "TileError",
    "TileFailure",
    "TilecoreError",
    "UnreadableFileError",
    "UnwritableFileError",
    "WorkerError",
]


class TilecoreError(Exception):
    """Base of every error that tilecore raises on purpose."""

    @classmethod
    def of(cls, parameter: str, value: object, allowed: str) -> Self:
        """Build the error from a parameter's name, the value that was given, and the values that are allowed."""
        return cls(f"{parameter}={_short(value)}: {allowed}")


class ParameterError(TilecoreError, ValueError):
    """The value of a parameter is not allowed, though its type is right."""


class ParameterTypeError(TilecoreError, TypeError):
    """The type of a parameter is wrong."""


class NotSupportedError(TilecoreError, NotImplementedError):
    """A kind of input or of result is asked for that there is not."""


class BoundsError(TilecoreError, IndexError):
    """A box or an index lies outside the volume."""


class AlignmentError(TilecoreError, ValueError):
    """Two tiles would write the same storage unit (chunk or shard)."""


class MissingFileError(TilecoreError, FileNotFoundError):
    """An input file does not exist."""


class OutputExistsError(TilecoreError, FileExistsError):
    """An output exists already, and the caller did not ask to overwrite it."""


class UnreadableFileError(TilecoreError, OSError, ValueError):
    """A file exists, but it cannot be read in the format that it should have."""


class SourceChangedError(UnreadableFileError):
    """A source was changed while a run read it."""


class UnwritableFileError(TilecoreError, OSError):
    """An output cannot be created at its path."""


class ObjectStoreError(TilecoreError, OSError):
    """An object store denies access, or does not answer."""


class DiskSpaceError(TilecoreError, OSError):
    """The disk has no room for an output; ``errno`` is ``ENOSPC``."""


class MissingDependencyError(TilecoreError, ImportError):
    """An optional package is needed; the message names the extra that brings it."""


class SharedMemoryError(TilecoreError, MemoryError):
    """Shared memory could not be allocated; the message says how much is needed and how much is free."""


class MemoryBudgetError(TilecoreError, MemoryError):
    """Even the smallest tile does not fit into the allowed memory."""


class ShippingError(TilecoreError, TypeError):
    """A function or an array cannot be sent to a worker process, or a result cannot be sent back."""


class RunCancelledError(TilecoreError, RuntimeError):
    """A run was ended because its ``cancel`` event was set."""


class WorkerError(TilecoreError, RuntimeError):
    """Workers cannot be started, or die more often than the run allows."""


class JournalError(TilecoreError, ValueError):
    """A journal is damaged, in use, or belongs to another run."""


@dataclass(frozen=True, slots=True)
class TileFailure:
    """Description of one tile that failed.

    Attributes
    ----------
    tile : object
        The tile (its ``write`` and ``read`` boxes) or, outside a grid, the task.
    reason : str
        One line: the exception's type and text, or how the worker died.
    attempts : int
        Number of attempts at the tile.
    exitcode : int or None
        The worker's exit code if it died (``-9``: killed by SIGKILL).
    traceback : str
        The worker's traceback as text; empty if there is none.
    """

    tile: Any
    reason: str
    attempts: int = 1
    exitcode: int | None = None
    traceback: str = ""

    def __str__(self) -> str:
        times = "1 attempt" if self.attempts == 1 else f"{self.attempts} attempts"
        return f"{self.tile}: {self.reason} ({times})"


class TileError(TilecoreError, RuntimeError):
    """One or more tiles failed.

    Attributes
    ----------
    failures : tuple of TileFailure
        Every tile that failed, in the order in which they failed.
    """

    def __init__(self, failures: Sequence[TileFailure] | str = ()) -> None:
        self.failures = () if isinstance(failures, str) else tuple(failures)
        super().__init__(failures if isinstance(failures, str) else self._message())

    def original(self, note: str = "") -> Exception:
        """What the function itself raised, with notes that say where; this error if that is not known.

        Parameters
        ----------
        note : str
            Default: the tile.
        """
        cause = self.__cause__
        if not isinstance(cause, Exception):
            return self
        cause.add_note(note or str(self.failures[0].tile))
        if cause.__traceback__ is None and self.failures[0].traceback:  # it was raised in another process
            cause.add_note(f"Traceback in the worker:\n{self.failures[0].traceback.rstrip()}")
        return cause

    def _message(self) -> str:
        n_failed = len(self.failures)
        head = f"{n_failed} tile{'s' * (n_failed != 1)} failed"
        lines = [f"  {failure}" for failure in self.failures[:20]]
        if n_failed > len(lines):
            lines.append(f"  and {n_failed - len(lines)} more (see .failures)")
        traces = [failure.traceback for failure in self.failures if failure.traceback]
        if traces:
            lines.append("Traceback in the worker (first failure):\n" + traces[0].rstrip())
        return "\n".join([head, *lines])

    def __reduce__(self) -> tuple[type[TileError], tuple[tuple[TileFailure, ...]]]:
        return type(self), (self.failures,)


def alike(name: str, known: Iterable[str]) -> str:
    """Build the part of a message that asks for the known name which is meant; nothing if none is like it."""
    import difflib

    found = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {found[0]}?" if found else ""


def _short(value: object, limit: int = 80) -> str:
    text = repr(os.fspath(value) if isinstance(value, os.PathLike) else value)
    if len(text) <= limit:
        return text
    half = (limit - 3) // 2  # the end of a path tells as much as its beginning
    return f"{text[: limit - 3 - half]}...{text[-half:]}"
