"""A ``.npy`` file in the making: written by many processes, named when it is complete."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tilecore.bytesize import format_bytes
from tilecore.errors import OutputExistsError, UnreadableFileError
from tilecore.machine import free_space

__all__ = ["NpyFile", "refuse_existing"]


class NpyFile:
    """A ``.npy`` output that has its name only once it is complete.

    Parameters
    ----------
    path : path_like
        The final name; until `commit` the file is called ``<path>.partial``.
    overwrite : bool
        Whether a file of the final name may be replaced.

    Raises
    ------
    OutputExistsError
        If the file exists and `overwrite` is False.
    """

    def __init__(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        self.path = Path(path)
        self.partial = self.path.with_name(self.path.name + ".partial")
        refuse_existing(self.path, overwrite=overwrite)

    def create(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Make the file, its disk space reserved, and map it for writing.

        Raises
        ------
        OSError
            If the disk has no room for it.
        """
        try:
            array: npt.NDArray[Any] = np.lib.format.open_memmap(
                self.partial, mode="w+", dtype=np.dtype(dtype), shape=shape
            )
            _reserve(self.partial)
        except OSError as error:
            self.discard()
            if error.errno == errno.ENOSPC:
                size = format_bytes(np.dtype(dtype).itemsize * float(np.prod(shape, dtype=float)))
                free = format_bytes(free_space(self.path.parent))
                raise OSError(errno.ENOSPC, f"{self.path} needs {size}; the disk has {free} free") from error
            raise
        return array

    def reopen(self) -> npt.NDArray[Any]:
        """Map a file that an earlier run has begun, for writing."""
        try:
            array: npt.NDArray[Any] = np.lib.format.open_memmap(self.partial, mode="r+")
        except (OSError, ValueError) as error:
            raise UnreadableFileError(f"{self.partial} cannot be continued: {error}") from error
        return array

    def commit(self, array: npt.NDArray[Any]) -> None:
        """Write everything to disk and give the file its final name."""
        if isinstance(array, np.memmap):
            array.flush()
        os.replace(self.partial, self.path)

    def discard(self) -> None:
        """Remove what was begun."""
        with contextlib.suppress(FileNotFoundError):
            self.partial.unlink()


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Refuse to replace a file unless that was asked for."""
    if path.exists() and not overwrite:
        raise OutputExistsError(
            f"{path} exists already; choose another name, or overwrite it (overwrite=True, --overwrite)"
        )


def _reserve(path: Path) -> None:
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, max(path.stat().st_size, 1))
