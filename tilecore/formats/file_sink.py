"""Sinks: image files that many processes write, and that get their names when they are complete."""

from __future__ import annotations

import contextlib
import errno
import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from tilecore.array_types import Index
from tilecore.errors import MissingFileError, ParameterError
from tilecore.formats.access import SinkAccess
from tilecore.formats.opening import open_source
from tilecore.formats.pyramids import Level, make_here
from tilecore.formats.reader_errors import reading
from tilecore.formats.sink import SinkSpec, Target, stored_dtype
from tilecore.formats.source import FileSource
from tilecore.formats.writer_errors import writing
from tilecore.machine import free_space
from tilecore.objects.places import place_kind
from tilecore.output_file import Place, new_token, refuse_existing

__all__ = ["FileSink"]


class FileSink:
    """Base class of sinks of all kinds of files; a new kind gives `kind`, ``_make`` and ``_reopened``.

    Parameters
    ----------
    spec : SinkSpec
        Description of the file to be written.

    Attributes
    ----------
    path : Path
        Final path of the file.
    token : str
        Random token in the name of the folder in which the file is written; each run has its own.

    Raises
    ------
    ParameterError
        If this kind of file does not have a given option.

    Notes
    -----
    Process-safety: pickles as description and token, by which another process opens the file. Two may write at once
    if they share no write unit.
    """

    kind: ClassVar[str]
    #: Whether only one process can write at a time.
    single_writer: ClassVar[bool] = False
    #: Whether processes of several hosts can write at a time, as each write unit is a file of its own.
    several_hosts: ClassVar[bool] = False
    #: Names of codecs that a caller may choose.
    codecs: ClassVar[tuple[str, ...]] = ("default", "none")
    #: Dtypes that such a file can hold, without their byte order, such as ``"u2"``; None: those of all numbers.
    dtypes: ClassVar[frozenset[str] | None] = None
    has_chunks: ClassVar[bool] = False
    has_shards: ClassVar[bool] = False
    #: Whether such a file can be written at a URL.
    takes_urls: ClassVar[bool] = False

    def __init__(self, spec: SinkSpec) -> None:
        self.spec, self.path, self.token = spec, spec.path, new_token()
        self._place: Place | None = None
        self._target: Target | None = None
        self._dtype: np.dtype[Any] | None = None
        self._is_complete = False
        for name in ("chunks", "shards"):
            if getattr(spec, name) is not None and not getattr(self, f"has_{name}"):
                raise ParameterError.of(name, getattr(spec, name), f"{self.kind} files have no {name}; leave it out")
        if spec.codec not in self.codecs:
            raise ParameterError.of("codec", spec.codec, f"{self.kind} files can use {', '.join(self.codecs)}")
        self._lay_out()

    def fit_tiles(self, steps: Sequence[int | None]) -> None:
        """Choose chunks that divide `steps`, the lengths of tiles, before `create`; None where any chunk fits."""
        self.spec = replace(self.spec, steps=tuple(steps))
        self._lay_out()

    def _lay_out(self) -> None:
        """Choose chunks and shards, in kinds of files that have them."""

    @classmethod
    def order_of_axes(cls, axes: str) -> str:
        """The order of these axes that this kind of file can hold; an image must be moved into it before."""
        return axes

    @property
    def access(self) -> SinkAccess:
        """Access of workers to this sink."""
        return SinkAccess(self)

    @property
    def content(self) -> str:
        """What is written, in files that hold several things; empty for others."""
        return self.spec.dataset

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis [voxel]."""
        return self.spec.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the voxels; known once the file has been created."""
        if self._dtype is None:
            raise self._is_not_there
        return self._dtype

    @property
    def files(self) -> tuple[Path, ...]:
        """Names that the file takes: its own, and those of files beside it that belong to it."""
        return (self.path,)

    @property
    def write_units(self) -> tuple[int, ...] | None:
        """Shape of the unit that no two processes may write at once; None if each voxel can be written alone."""
        return None

    @property
    def target(self) -> Target:
        """Array-like object that regions are written into; it can be sent to other processes."""
        if self._target is None:
            raise self._is_not_there
        return self._target

    @property
    def is_created(self) -> bool:
        """Whether the file has been created and can be written."""
        return self._place is not None

    @property
    def place(self) -> Place:
        """Folder in which the file lies until it is complete."""
        if self._place is None:
            raise self._is_not_there
        return self._place

    def refuse_existing(self) -> None:
        """Raise `OutputExistsError` if there is a file of this name, and it may not be replaced."""
        refuse_existing(self.path, overwrite=self.spec.overwrite)

    def check_dtype(self, dtype: npt.DTypeLike) -> np.dtype[Any]:
        """Return a dtype that this kind of file can hold; raise `ParameterError` for others."""
        return stored_dtype(dtype, self.dtypes, self.kind)

    def can_continue(self, token: str) -> bool:
        """Whether a file that was begun under a token exists and can be continued."""
        with contextlib.suppress(MissingFileError):
            return self._is_sound(place_kind(self.path).open(self.path, token).data)
        return False

    def create(self, dtype: npt.DTypeLike, *, alone: bool = False) -> Self:
        """Create the file and reserve or check its disk space; with `alone`, refuse if another run writes the same.

        Raises
        ------
        DiskSpaceError
            If the disk has not enough free space for it.
        UnwritableFileError, MissingFileError
            If the file cannot be created at its path.
        ParameterError
            If this kind of file cannot hold the dtype.
        """
        kind = self.check_dtype(dtype)
        self.discard()
        self._is_complete = False
        try:
            with writing(self.path, max(self._needed_bytes(kind), math.prod(self.shape) * kind.itemsize)):
                self._place = place_kind(self.path).create(self.path, self.token, alone=alone)
                self._check_space(kind)
                self._target = self._make(kind)
                self._dtype = np.dtype(self._target.dtype)
        except BaseException:
            self.discard()
            raise
        return self

    def reopen(self, *, alone: bool = True) -> Self:
        """Continue the file with the same token, if it is there (`MissingFileError`), and `alone`: nobody else does."""
        kind = place_kind(self.path)
        self._place = place = (kind.resume if alone else kind.open)(self.path, self.token)
        try:
            with reading(str(place.data), f"a {self.kind} file to be continued"):
                self._target = self._reopened(str(place.data))
                self._dtype = np.dtype(self._target.dtype)
        except BaseException:
            self.release()
            raise
        return self

    def __getitem__(self, index: Index) -> npt.NDArray[Any]:
        """Read a region of what was written so far; voxels not yet written may have any value."""
        if self._place is None and not self._is_complete:
            raise self._is_not_there
        region: npt.NDArray[Any] = (self._written() if self._place is not None else self.result())[index]
        return region

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.array(self[...], dtype=dtype) if copy else np.asarray(self[...], dtype=dtype)

    def __setitem__(self, index: Index, values: npt.ArrayLike) -> None:
        self.target[index] = values

    def flush(self) -> None:
        """Flush the written voxels to the system, which keeps them if this process ends; most kinds do so at once."""

    def commit(self) -> None:
        """Complete the file and give it its name; the system writes the last voxels to the disk later, as after ``cp``.

        Raises
        ------
        MissingFileError
            If somebody has removed the written data.
        OutputExistsError
            If a file of that name has appeared, for example from another run, and may not be overwritten.
        """
        place = self.place
        for level in self.levels():
            make_here(level)
        self.complete()
        place.commit(overwrite=self.spec.overwrite)
        self._forget()
        self._is_complete = True

    def levels(self) -> Iterator[Level]:
        """Iterate over the coarser levels of a pyramid, the finest first, to be made after all voxels are written."""
        yield from ()

    def complete(self) -> None:
        """Close the file after all voxels and levels are written; it gets its name from `commit`."""
        if self._target is not None:
            self._check()
            self._close()

    def result(self) -> FileSource | npt.NDArray[Any]:
        """Open the file under its final name, as an array."""
        return open_source(self.path)

    def release(self) -> None:
        """Close the unfinished file; it stays, and a later run can continue it."""
        self._close()
        if self._place is not None:
            self._place.close()
            self._place = None

    def discard(self) -> None:
        """Remove the unfinished file."""
        self._close()
        if self._place is not None:
            self._place.discard()
            self._forget()

    def _forget(self) -> None:
        """Reset this object, so that the file can be created again."""
        self._place, self.token = None, new_token()

    def _close(self) -> None:
        """Close everything that is open for writing."""
        self._target = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None:
            self.discard()
        elif self._place is not None:
            self.commit()

    def __reduce__(self) -> tuple[Any, ...]:
        return _in_another_process, (type(self), self.spec, self.token)

    def _is_sound(self, data: Path) -> bool:
        """Whether a file can be continued although its writer may have been killed while it wrote."""
        return True

    def _written(self) -> Any:
        """The voxels written so far, as an array."""
        return self.target

    @property
    def _is_not_there(self) -> ParameterError:
        return ParameterError(f"{self.path} has not been created yet, or is already complete")

    def _needed_bytes(self, dtype: np.dtype[Any]) -> int:
        """Smallest disk space that the file may need [byte]; 0 for files whose space is reserved."""
        return 0

    @abstractmethod
    def _make(self, dtype: np.dtype[Any]) -> Target:
        """Create the file in its folder; return the object that regions are written into."""

    @abstractmethod
    def _reopened(self, path: str) -> Target:
        """Open the unfinished file for writing."""

    def _check(self) -> None:
        """Refuse to complete a file that has lost data."""

    def _check_space(self, dtype: np.dtype[Any]) -> None:
        if place_kind(self.path) is Place and self._needed_bytes(dtype) > free_space(self.path.parent):
            raise OSError(errno.ENOSPC, "not enough room")


def _in_another_process(kind: type[FileSink], spec: SinkSpec, token: str) -> FileSink:
    sink = kind(spec)
    sink.token = token
    return sink.reopen(alone=False)
