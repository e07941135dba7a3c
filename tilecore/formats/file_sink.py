"""Sinks: image files in the making, written by many processes, named when they are complete."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import secrets
import shutil
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from tilecore.bytesize import format_bytes
from tilecore.errors import (
    DiskSpaceError,
    MissingFileError,
    OutputExistsError,
    ParameterError,
    TilecoreError,
    UnwritableFileError,
)
from tilecore.formats.guarding import reading
from tilecore.formats.sink import Downsampler, SinkSpec
from tilecore.machine import free_space

__all__ = ["FileSink", "MappedSink", "refuse_existing"]


class FileSink:
    """What sinks of all kinds have in common.

    Parameters
    ----------
    spec : SinkSpec

    Attributes
    ----------
    path, partial : Path
        The final name, and the one until `commit`.
    single_writer : bool
        Whether only one process can write.

    Raises
    ------
    OutputExistsError
        If the file exists and is not to be overwritten.
    ParameterError
        If the kind has no such option.

    Notes
    -----
    Process-safety: pickles as what it is to be, and opens in another process what the
    first has created. Two processes may write at once what shares no write unit.
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
        self.partial = spec.path.with_name(spec.path.name + ".partial")
        self._target: Any = None
        self._begun: object = None
        #: Tells what was created here from what other processes, or earlier calls, have created under the name.
        self.token: str | None = None
        for name in ("chunks", "shards"):
            if getattr(spec, name) is not None and not getattr(self, f"has_{name}"):
                raise ParameterError.of(name, getattr(spec, name), f"{self.kind} files have no {name}")
        if spec.codec not in self.codecs:
            raise ParameterError.of("codec", spec.codec, f"{self.kind} files have {', '.join(self.codecs)}")
        self._refuse_existing()

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis [voxel]."""
        return self.spec.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Kind of number; known once the file has been created."""
        dtype: np.dtype[Any] = np.dtype(self.target.dtype)
        return dtype

    @property
    def write_units(self) -> tuple[int, ...] | None:
        """Shape of what no two processes may write at once; None if every voxel can be written alone."""
        return None

    @property
    def target(self) -> Any:
        """What regions are written into, in a form that travels between processes."""
        if self._target is None:
            raise ParameterError(f"{self.path} has not been created, or is complete already")
        return self._target

    @property
    def is_created(self) -> bool:
        """Whether the file is there to be written."""
        return self._target is not None

    @property
    def exists(self) -> bool:
        """Whether something was begun, now or by an earlier run, that can be continued."""
        return self.partial.exists()

    def create(self, dtype: npt.DTypeLike) -> Self:
        """Make the file, its disk space reserved or checked.

        Raises
        ------
        DiskSpaceError
            If the disk has no room for it.
        UnwritableFileError, MissingFileError
            If it cannot be made at that place.
        ParameterError
            If the kind of file does not hold such numbers.
        """
        kind = np.dtype(dtype)
        if kind.kind not in "biufc":
            raise ParameterError.of("dtype", kind, "only numbers are written")
        self._begun = None  # what an earlier run has left goes, too
        self.discard()
        try:
            with self._writing(kind):
                self._check_space(kind)
                self._target = self._make(kind)
                self._begun = self._identity()
                self.token = secrets.token_hex(8)
        except BaseException:
            self.discard()
            raise
        return self

    def reopen(self) -> Self:
        """Open what an earlier run, or another process, has begun."""
        with reading(str(self.partial), f"a {self.kind} file to be continued"):
            self._target = self._reopened(str(self.partial))
            self._begun = self._identity()
        return self

    def __setitem__(self, index: Any, values: Any) -> None:
        self.target[index] = values

    def flush(self) -> None:
        """Give what was written to the system, where it outlives this process; most kinds do so at once."""

    def commit(self, downsample: Downsampler | None = None) -> None:
        """Give the file its name: it is complete.

        Parameters
        ----------
        downsample : callable, optional
            Makes the levels of a pyramid. Default: here, in this process.

        Raises
        ------
        UnwritableFileError
            If another run has begun the same file anew meanwhile: the last one has it.
        OutputExistsError
            If a file of that name has appeared, and is not to be overwritten.

        Notes
        -----
        The system writes the last voxels to the disk in its own time, as after ``cp``.
        """
        if self._target is not None and self._begun != self._identity():
            raise UnwritableFileError(
                f"{self.partial} is gone, or another run has begun it anew: give each its own file"
            )
        self._complete(downsample)
        self._target = None
        self._refuse_existing()
        self._rename()

    def result(self) -> npt.NDArray[Any] | None:
        """The complete file as an array; None if that takes a reader."""
        return None

    def discard(self) -> None:
        """Remove what was begun, unless it is another run's by now."""
        self._target = None
        if self._begun in (None, self._identity()):
            _remove(self.partial)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._target is None:
            return
        if error is None:
            self.commit()
        else:
            self.discard()

    def __reduce__(self) -> tuple[Any, ...]:
        return _in_another_process, (type(self), self.spec)

    def _identity(self) -> object:
        """What tells the begun file from one that another run has begun in its place; None if there is none."""
        with contextlib.suppress(FileNotFoundError):
            return self.partial.stat().st_ino  # no other file has the number while this one is open
        return None

    def _needed_bytes(self, dtype: np.dtype[Any]) -> int:
        """Least room the file will take; files that are reserved need no estimate."""
        return 0

    @abstractmethod
    def _make(self, dtype: np.dtype[Any]) -> Any:
        """Make the file under its partial name; return what is written into."""

    @abstractmethod
    def _reopened(self, path: str) -> Any:
        """Open the begun file for writing."""

    def _complete(self, downsample: Downsampler | None) -> None:
        """Do what remains when all voxels are written."""

    def _refuse_existing(self) -> None:
        refuse_existing(self.path, overwrite=self.spec.overwrite)

    def _rename(self) -> None:
        old = self.path.with_name(self.path.name + ".replaced")
        if self.path.is_dir():  # a folder cannot be replaced in one step
            os.replace(self.path, old)
        os.replace(self.partial, self.path)
        _remove(old)

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


class MappedSink(FileSink):
    """A file in which voxels lie as they are, mapped by every process that writes."""

    def result(self) -> npt.NDArray[Any] | None:
        """The complete file, mapped."""
        array: npt.NDArray[Any] = self._reopened(str(self.path))
        return array

    def _reserve(self, size: int) -> None:
        """Take the disk space now: a process that ran out of it later would die of SIGBUS."""
        if hasattr(os, "posix_fallocate"):
            with self.partial.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, max(size, 1))

    def _check_space(self, dtype: np.dtype[Any]) -> None:
        if math.prod(self.shape) * dtype.itemsize >= 2**62:
            raise OSError(errno.ENOSPC, "no disk is as large")


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Refuse to replace a file unless that was asked for."""
    if path.exists() and not overwrite:
        raise OutputExistsError(
            f"{path} exists already; choose another name, or overwrite it (overwrite=True, --overwrite)"
        )


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()


def _in_another_process(kind: type[FileSink], spec: SinkSpec) -> FileSink:
    return kind(spec).reopen()
