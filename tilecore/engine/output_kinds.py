"""Kinds of outputs: a given array, a file, or a new array that is created once its dtype is known."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tilecore.array_types import ReadableArray
from tilecore.arrays.access import Reach
from tilecore.arrays.extents import Extent
from tilecore.arrays.foreign import dtype_of
from tilecore.arrays.kinds import access_of, as_array
from tilecore.bytesize import format_bytes
from tilecore.engine.finished_mark import commit_marked
from tilecore.errors import MemoryBudgetError, ParameterError, ParameterTypeError
from tilecore.formats.file_sink import FileSink
from tilecore.formats.pyramids import Level
from tilecore.machine import available_memory

__all__ = ["FileOutput", "GivenOutput", "NewOutput", "Output", "Owned", "OwnedOutput"]


class Output:
    """One output of a run; base class of all kinds.

    Parameters
    ----------
    dtype : dtype, optional
        Data type that the caller asked for.

    Attributes
    ----------
    array : array_like or None
        Array that results are written into; None until the dtype is known.
    asked : dtype or None
        Data type that the caller asked for.
    """

    #: Path of the file; None if the output is not a file.
    path: Path | None = None
    #: The file, and those beside it that belong to it.
    files: tuple[Path, ...] = ()
    #: Name of the dataset in the file, and its labels if it has some; empty for the file's default, or one image.
    dataset = ""
    #: Default path of a journal; None if the output is not a file.
    journal_path: Path | None = None
    #: Whether the output outlives this process.
    persists = False
    #: Shape of the unit that no two tiles may write, in output voxels; None if each voxel can be written alone.
    units: tuple[int, ...] | None = None
    #: Array of the caller that the results end up in; None if there is none.
    given: Any = None
    #: Token that tells the output from a new one of the same name; None if there is none.
    token: str | None = None
    #: Whether other parts of the run write the output, too: then this process neither names nor removes it.
    is_shared = False

    def __init__(self, dtype: np.dtype[Any] | None = None) -> None:
        self.array: Any = None
        self.asked = dtype

    @property
    def extents(self) -> tuple[Extent, ...]:
        """Extents of the voxels, for an array that the caller gave."""
        return ()

    @property
    def is_complete(self) -> bool:
        """Whether it is a file that exists, with all that belongs to it."""
        return bool(self.files) and all(each.exists() for each in self.files)

    def refuse_existing(self) -> None:
        """Refuse to replace an existing file, unless the caller allows it."""

    def opened(self) -> ReadableArray:
        """Return the output if an earlier run has completed it."""
        array: ReadableArray = self.array
        return array

    def can_continue(self, token: str | None) -> bool:
        """Whether the unfinished output of an earlier run, with this token, exists."""
        return True

    def adopt(self, token: str | None) -> None:
        """Use the unfinished output of an earlier run, with this token."""

    def make(self, dtype: np.dtype[Any]) -> None:
        """Create the output for results of a dtype."""

    def reopen(self) -> None:
        """Open the unfinished output of an earlier run."""

    def writable(self, reach: Reach) -> Any | None:
        """The output in the form in which workers write into it; None if only this process can."""
        return access_of(self.array).writable(reach)

    def flush(self) -> None:
        """Flush the written voxels to the system, so that they outlive this process."""

    def levels(self) -> Iterator[Level]:
        """Iterate over the coarser levels of a pyramid, to be made after all voxels are written."""
        yield from ()

    def complete(self) -> None:
        """Close the file after all voxels and levels are written."""

    def commit(self, run: dict[str, Any] | None) -> ReadableArray:
        """Give the output its final name, marked as that of a run, and return what the caller gets."""
        array: ReadableArray = self.array
        return array

    def release(self) -> None:
        """Close an incomplete output, which a later run may continue."""

    def discard(self) -> None:
        """Remove an incomplete output."""


class GivenOutput(Output):
    """Output into an array of the caller.

    Parameters
    ----------
    out : array_like
        The array.
    shape : tuple of int
        Shape that the results need.

    Raises
    ------
    ParameterError
        If its shape differs, or it is read-only.
    ParameterTypeError
        If it is not an array.
    """

    def __init__(self, out: object, shape: tuple[int, ...]) -> None:
        array: Any = as_array(out)
        if not all(hasattr(array, name) for name in ("shape", "dtype", "__setitem__")):
            raise ParameterTypeError.of("out", out, "must be None, an array, or a path")
        if isinstance(array, np.ma.MaskedArray):
            raise ParameterTypeError("out: a masked array would keep its mask; give its data (out.data)")
        if tuple(array.shape) != shape:
            raise ParameterError.of("out", tuple(array.shape), f"the results need the shape {shape}")
        access = access_of(array)
        if not access.is_writable:
            raise ParameterError("out is read-only: give an array that can be written")
        super().__init__(dtype_of(array, "out"))
        if self.asked is not None and self.asked.hasobject:
            raise ParameterTypeError.of("out", self.asked, "Python objects make no volume; use collect_tiles")
        self.array = self.given = array
        self.persists, self.units = access.persists, access.write_units

    @property
    def extents(self) -> tuple[Extent, ...]:
        """Extents of the array's voxels."""
        return access_of(self.array).extents

    def flush(self) -> None:
        """Flush the written voxels to the system, if the array buffers them."""
        if isinstance(self.array, FileSink):
            self.array.flush()


@dataclass(frozen=True)
class Owned:
    """An array that only the run itself writes, in a place of its own.

    Attributes
    ----------
    array : array_like
        The array.
    """

    array: Any


class OwnedOutput(GivenOutput):
    """Output into such an array: as nobody else writes it, it needs no lock, and finished tiles no checksums."""

    def __init__(self, out: Owned, shape: tuple[int, ...]) -> None:
        super().__init__(out.array, shape)
        self.given = None


class FileOutput(Output):
    """Output into a file, which gets its name when it is complete."""

    persists = True

    def __init__(self, sink: FileSink, dtype: np.dtype[Any] | None) -> None:
        super().__init__(dtype)
        self.sink, self.path, self.files = sink, sink.path, sink.files
        self.dataset = sink.content
        # Each dataset of a file has its own journal, so that a script may write one after the other with resume=True.
        names = [self.path.name, *filter(None, sink.spec.dataset.split("/")), "journal"]
        self.journal_path = self.path.with_name(".".join(names))
        if dtype is not None:
            sink.check_dtype(dtype)  # before any work

    @property
    def units(self) -> tuple[int, ...] | None:  # type: ignore[override]
        """Write units of the file; they are known for certain once it has been created or opened again."""
        return self.sink.write_units

    @property
    def token(self) -> str | None:  # type: ignore[override]
        """Token of the folder in which the file is written."""
        return self.sink.token

    def refuse_existing(self) -> None:
        """Refuse to replace an existing file, unless the caller allows it."""
        self.sink.refuse_existing()

    def opened(self) -> ReadableArray:
        """Open the complete file."""
        return self.sink.result()

    def can_continue(self, token: str | None) -> bool:
        """Whether the unfinished file of an earlier run, with this token, exists."""
        return token is not None and self.sink.can_continue(token)

    def adopt(self, token: str | None) -> None:
        """Use the unfinished file of an earlier run, with this token."""
        assert token is not None
        self.sink.token = token

    def make(self, dtype: np.dtype[Any]) -> None:
        """Create the file."""
        self.array = self.sink.create(dtype, alone=True)

    def reopen(self) -> None:
        """Open the unfinished file."""
        self.array = self.sink.reopen(alone=not self.is_shared)

    def flush(self) -> None:
        """Flush the written voxels to the system."""
        self.sink.flush()

    def levels(self) -> Iterator[Level]:
        """Iterate over the coarser levels of the file."""
        return self.sink.levels()

    def complete(self) -> None:
        """Close the file."""
        self.array = None  # drop the map of the file under its temporary name
        self.sink.complete()

    def commit(self, run: dict[str, Any] | None) -> ReadableArray:
        """Give the file its name; return it as an array."""
        commit_marked(self.sink, run)
        return self.sink.result()

    def release(self) -> None:
        """Close the unfinished file, which a later run may continue."""
        self.sink.release()

    def discard(self) -> None:
        """Remove the file, unless other parts of the run write it."""
        if self.is_shared:
            self.sink.release()
        else:
            self.sink.discard()


class NewOutput(Output):
    """Output into a new ndarray."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any] | None) -> None:
        super().__init__(dtype)
        self._shape = shape

    def make(self, dtype: np.dtype[Any]) -> None:
        """Allocate the array."""
        needed, free = math.prod(self._shape) * dtype.itemsize, available_memory()
        if needed > free:
            raise MemoryBudgetError(
                f"the result needs {format_bytes(needed)} and {format_bytes(free)} of memory are free: "
                "pass out= with a path or another array on disk"
            )
        self.array = np.empty(self._shape, dtype)
