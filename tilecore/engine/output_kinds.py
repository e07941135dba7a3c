"""What an output is: an array that was given, a file, or an array made once its dtype is known."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tilecore.array_types import ReadableArray
from tilecore.arrays.access import Reach
from tilecore.arrays.extents import Extent
from tilecore.arrays.kinds import access_of, as_array
from tilecore.bytesize import format_bytes
from tilecore.errors import MemoryBudgetError, ParameterError, ParameterTypeError
from tilecore.formats.file_sink import FileSink
from tilecore.formats.pyramids import Level
from tilecore.machine import available_memory
from tilecore.output_file import refuse_existing

__all__ = ["FileOutput", "GivenOutput", "NewOutput", "Output"]


class Output:
    """One output of a run.

    Parameters
    ----------
    dtype : dtype, optional
        As the caller has asked for it.

    Attributes
    ----------
    array : array_like or None
        What is written into; None until the dtype is known.
    asked : dtype or None
    """

    #: The file that is written; None if it is none.
    path: Path | None = None
    #: Whether what is written outlives this process.
    persists = False
    #: Shape of what no two tiles may write, in voxels of the output; None if every voxel can be written alone.
    units: tuple[int, ...] | None = None
    #: The array of the caller's that it is written into, in the end.
    given: Any = None
    #: What tells it from an output that is made anew under its name.
    token: str | None = None

    def __init__(self, dtype: np.dtype[Any] | None = None) -> None:
        self.array: Any = None
        self.asked = dtype

    @property
    def extents(self) -> tuple[Extent, ...]:
        """Where the voxels of an array that was given lie."""
        return ()

    def refuse_existing(self) -> None:
        """Refuse to replace what the caller has not given up."""

    def opened(self) -> ReadableArray:
        """What the caller gets of an output that an earlier run has completed."""
        array: ReadableArray = self.array
        return array

    def can_continue(self, token: str | None) -> bool:
        """Whether what an earlier run has begun, with this token, is there."""
        return True

    def adopt(self, token: str | None) -> None:
        """Go on with what an earlier run has begun."""

    def make(self, dtype: np.dtype[Any]) -> None:
        """Make it, for results of a dtype."""

    def reopen(self) -> None:
        """Open what an earlier run has left half done."""

    def writable(self, reach: Reach) -> Any | None:
        """The form in which workers write into it; None if only this process can."""
        return access_of(self.array).writable(reach)

    def flush(self) -> None:
        """See to it that what was written outlives this process."""

    def levels(self) -> Iterator[Level]:
        """The coarser levels of a pyramid, to be made when all voxels are written."""
        yield from ()

    def complete(self) -> None:
        """Close what was written; the levels are made."""

    def commit(self) -> ReadableArray:
        """Make it what the caller gets, and return that."""
        array: ReadableArray = self.array
        return array

    def release(self) -> None:
        """Leave what did not become complete to a later run."""

    def discard(self) -> None:
        """Remove what did not become complete."""


class GivenOutput(Output):
    """An array of the caller's.

    Parameters
    ----------
    out : array_like
    shape : tuple of int
        That the results need.

    Raises
    ------
    ParameterError
        If its shape differs, or it cannot be written.
    ParameterTypeError
        If it is no array.
    """

    def __init__(self, out: object, shape: tuple[int, ...]) -> None:
        array: Any = as_array(out)
        if not all(hasattr(array, name) for name in ("shape", "dtype", "__setitem__")):
            raise ParameterTypeError.of("out", out, "None, an array, or a path")
        if isinstance(array, np.ma.MaskedArray):
            raise ParameterTypeError("out: a masked array would keep its mask; give its data (out.data)")
        if tuple(array.shape) != shape:
            raise ParameterError.of("out", tuple(array.shape), f"the results need the shape {shape}")
        if isinstance(array, np.ndarray) and not array.flags.writeable:
            raise ParameterError("out is read-only: give an array that can be written")
        super().__init__(np.dtype(array.dtype))
        self.array = self.given = array
        access = access_of(array)
        self.persists, self.units = access.persists, access.write_units

    @property
    def extents(self) -> tuple[Extent, ...]:
        """Where its voxels lie."""
        return access_of(self.array).extents

    def flush(self) -> None:
        """Give what was written to the system, where the array keeps it for a while."""
        if isinstance(self.array, FileSink):
            self.array.flush()


class FileOutput(Output):
    """A file that has its name once it is complete."""

    persists = True

    def __init__(self, sink: FileSink, dtype: np.dtype[Any] | None) -> None:
        super().__init__(dtype)
        self.sink, self.path, self.units = sink, sink.path, sink.write_units

    @property
    def token(self) -> str | None:  # type: ignore[override]
        """That of the file's place."""
        return self.sink.token

    def refuse_existing(self) -> None:
        """Refuse to replace a file unless that was asked for."""
        refuse_existing(self.sink.path, overwrite=self.sink.spec.overwrite)

    def opened(self) -> ReadableArray:
        """The complete file."""
        return self.sink.result()

    def can_continue(self, token: str | None) -> bool:
        """Whether an earlier run's place is there."""
        return token is not None and self.sink.can_continue(token)

    def adopt(self, token: str | None) -> None:
        """Take an earlier run's place."""
        assert token is not None
        self.sink.token = token

    def make(self, dtype: np.dtype[Any]) -> None:
        """Make the file."""
        self.array = self.sink.create(dtype, alone=True)

    def reopen(self) -> None:
        """Open the file that was begun."""
        self.array = self.sink.reopen()

    def flush(self) -> None:
        """Give what was written to the system."""
        self.sink.flush()

    def levels(self) -> Iterator[Level]:
        """Those of the file."""
        return self.sink.levels()

    def complete(self) -> None:
        """Close the file."""
        self.array = None  # a map of the file under its other name
        self.sink.complete()

    def commit(self) -> ReadableArray:
        """Give the file its name; return it as an array."""
        self.sink.commit()
        return self.sink.result()

    def release(self) -> None:
        """Leave the file as it is, for a later run."""
        self.sink.release()

    def discard(self) -> None:
        """Remove the file."""
        self.sink.discard()


class NewOutput(Output):
    """An ndarray."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any] | None) -> None:
        super().__init__(dtype)
        self._shape = shape

    def make(self, dtype: np.dtype[Any]) -> None:
        """Take the memory."""
        needed, free = math.prod(self._shape) * dtype.itemsize, available_memory()
        if needed > free:
            raise MemoryBudgetError(
                f"the result needs {format_bytes(needed)} and {format_bytes(free)} of memory are free: "
                "give out= a path or another array on disk"
            )
        self.array = np.empty(self._shape, dtype)
