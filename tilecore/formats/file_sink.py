"""Sinks: image files in the making, written by many processes, named when they are complete."""

from __future__ import annotations

import contextlib
import errno
import math
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from tilecore.bytesize import format_bytes
from tilecore.errors import DiskSpaceError, MissingFileError, ParameterError, TilecoreError, UnwritableFileError
from tilecore.formats.access import SinkAccess
from tilecore.formats.opening import open_source
from tilecore.formats.pyramids import Level, make_here
from tilecore.formats.reader_errors import reading
from tilecore.formats.sink import SinkSpec
from tilecore.machine import free_space
from tilecore.output_file import Place, new_token

__all__ = ["FileSink"]


class FileSink:
    """What sinks of all kinds have in common; a new kind gives `kind`, ``_make`` and ``_reopened``.

    Parameters
    ----------
    spec : SinkSpec

    Attributes
    ----------
    path : Path
        The final name.
    token : str
        Random; names the place in which the file is written, and tells it from what other runs have written
        under the final name.
    single_writer : bool
        Whether only one process can write.

    Raises
    ------
    ParameterError
        If the kind has no such option.

    Notes
    -----
    Process-safety: pickles as what it is to be and its token, and opens in another process what
    the first has created. Two processes may write at once what shares no write unit.
    """

    kind: ClassVar[str]
    single_writer: ClassVar[bool] = False
    #: Codecs by the names a caller may give.
    codecs: ClassVar[tuple[str, ...]] = ("default", "none")
    has_chunks: ClassVar[bool] = False
    has_shards: ClassVar[bool] = False

    def __init__(self, spec: SinkSpec) -> None:
        self.spec = spec
        self.path = spec.path
        self.token = new_token()
        self._place: Place | None = None
        self._target: Any = None
        self._dtype: np.dtype[Any] | None = None
        self._is_complete = False
        for name in ("chunks", "shards"):
            if getattr(spec, name) is not None and not getattr(self, f"has_{name}"):
                raise ParameterError.of(name, getattr(spec, name), f"{self.kind} files have no {name}")
        if spec.codec not in self.codecs:
            raise ParameterError.of("codec", spec.codec, f"{self.kind} files have {', '.join(self.codecs)}")

    @property
    def access(self) -> SinkAccess:
        """How workers reach it."""
        return SinkAccess(self)

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis [voxel]."""
        return self.spec.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Kind of number; known once the file has been created."""
        if self._dtype is None:
            raise self._is_not_there
        return self._dtype

    @property
    def write_units(self) -> tuple[int, ...] | None:
        """Shape of what no two processes may write at once; None if every voxel can be written alone."""
        return None

    @property
    def target(self) -> Any:
        """What regions are written into, in a form that travels between processes."""
        if self._target is None:
            raise self._is_not_there
        return self._target

    @property
    def is_created(self) -> bool:
        """Whether the file is there to be written."""
        return self._place is not None

    @property
    def place(self) -> Place:
        """Where the file is until it is complete."""
        if self._place is None:
            raise self._is_not_there
        return self._place

    def can_continue(self, token: str) -> bool:
        """Whether what was begun under a token is there to be continued."""
        with contextlib.suppress(MissingFileError):
            return self._is_sound(Place.open(self.path, token).data)
        return False

    def create(self, dtype: npt.DTypeLike, *, alone: bool = False) -> Self:
        """Make the file, its disk space reserved or checked; with `alone`, refuse if others write the same one.

        Raises
        ------
        DiskSpaceError
            If the disk has no room for it.
        UnwritableFileError, MissingFileError
            If it cannot be made at that place.
        ParameterError
            If the kind of file does not hold such numbers.
        """
        if (kind := np.dtype(dtype)).kind not in "biufc":
            raise ParameterError.of("dtype", kind, "only numbers are written")
        self.discard()
        self._is_complete = False
        try:
            with self._writing(kind):
                self._place = Place.create(self.path, self.token, alone=alone)
                self._check_space(kind)
                self._opened(self._make(kind))
        except BaseException:
            self.discard()
            raise
        return self

    def reopen(self) -> Self:
        """Go on with what an earlier run has begun under the same token.

        Raises
        ------
        MissingFileError
            If it is gone.
        UnwritableFileError
            If that run goes on.
        """
        return self._reopen(Place.resume(self.path, self.token))

    def _reopen(self, place: Place) -> Self:
        self._place = place
        try:
            with reading(str(place.data), f"a {self.kind} file to be continued"):
                self._opened(self._reopened(str(place.data)))
        except BaseException:
            self.release()
            raise
        return self

    def _opened(self, target: Any) -> None:
        self._target, self._dtype = target, np.dtype(target.dtype)

    def __getitem__(self, index: Any) -> npt.NDArray[Any]:
        """Read a region: what was written so far; what was not may hold anything."""
        if self._place is None and not self._is_complete:
            raise self._is_not_there
        array = self._written() if self._place is not None else self.result()
        region: npt.NDArray[Any] = array[index]
        return region

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.array(self[...], dtype=dtype) if copy else np.asarray(self[...], dtype=dtype)

    def __setitem__(self, index: Any, values: Any) -> None:
        self.target[index] = values

    def flush(self) -> None:
        """Give what was written to the system, where it outlives this process; most kinds do so at once."""

    def commit(self) -> None:
        """Give the file its name: it is complete.

        Raises
        ------
        MissingFileError
            If somebody has removed what was written.
        OutputExistsError
            If a file of that name has appeared, and is not to be overwritten: of two that were written at once, say.

        Notes
        -----
        The system writes the last voxels to the disk in its own time, as after ``cp``.
        """
        place = self.place
        for level in self.levels():
            make_here(level)
        self.complete()
        place.commit(overwrite=self.spec.overwrite)
        self._forget()
        self._is_complete = True

    def levels(self) -> Iterator[Level]:
        """Offer the coarser levels of a pyramid, the finest first, to be made when all voxels are written."""
        yield from ()

    def complete(self) -> None:
        """Close the file, of which all voxels and levels are written; it has its name only after `commit`."""
        if self._target is not None:
            self._check()
            self._close()

    def result(self) -> Any:
        """The file under its final name, as an array."""
        return open_source(self.path)

    def release(self) -> None:
        """Let go of what was begun; it stays, for a later run to go on with."""
        self._close()
        if self._place is not None:
            self._place.close()
            self._place = None

    def discard(self) -> None:
        """Remove what was begun here."""
        self._close()
        if self._place is not None:
            self._place.discard()
            self._forget()

    def _forget(self) -> None:
        """Be ready to be created anew, as another file."""
        self._place, self.token = None, new_token()

    def _close(self) -> None:
        """Close what is open for writing."""
        self._target = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._place is None:
            return
        if error is None:
            self.commit()
        else:
            self.discard()

    def __reduce__(self) -> tuple[Any, ...]:
        return _in_another_process, (type(self), self.spec, self.token)

    def _is_sound(self, data: Path) -> bool:
        """Whether a file can be continued though its writer may have been killed as it wrote."""
        return True

    def _written(self) -> Any:
        """What was written so far, as an array."""
        return self.target

    @property
    def _is_not_there(self) -> ParameterError:
        return ParameterError(f"{self.path} has not been created, or is complete already")

    def _needed_bytes(self, dtype: np.dtype[Any]) -> int:
        """Least room the file will take; files that are reserved need no estimate."""
        return 0

    @abstractmethod
    def _make(self, dtype: np.dtype[Any]) -> Any:
        """Make the file in its place; return what is written into."""

    @abstractmethod
    def _reopened(self, path: str) -> Any:
        """Open the begun file for writing."""

    def _check(self) -> None:
        """Refuse to complete a file that has lost something."""

    def _check_space(self, dtype: np.dtype[Any]) -> None:
        needed, free = self._needed_bytes(dtype), free_space(self.path.parent)
        if needed > free:
            raise OSError(errno.ENOSPC, "not enough room")

    @contextlib.contextmanager
    def _writing(self, dtype: np.dtype[Any]) -> Iterator[None]:
        """Say what could not be written, where and why."""
        try:
            yield
        except TilecoreError:
            raise
        except FileNotFoundError as error:
            raise MissingFileError(f"{self.path} cannot be made: {error}") from error
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise UnwritableFileError(error.errno, f"{self.path} cannot be made: {error}") from error
            size = format_bytes(max(self._needed_bytes(dtype), math.prod(self.shape) * dtype.itemsize))
            free = format_bytes(free_space(self.path.parent))
            raise DiskSpaceError(errno.ENOSPC, f"{self.path} needs {size}; the disk has {free} free") from error


def _in_another_process(kind: type[FileSink], spec: SinkSpec, token: str) -> FileSink:
    sink = kind(spec)
    sink.token = token
    return sink._reopen(Place.open(spec.path, token))
