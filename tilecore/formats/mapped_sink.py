"""Sinks for files with uncompressed voxels, which any number of processes write in place."""

from __future__ import annotations

import errno
import math
import os
from abc import abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt

from tilecore.formats.file_sink import FileSink

__all__ = ["MappedSink"]


class MappedSink(FileSink):
    """Base class of sinks for files with uncompressed voxels, mapped by every process that writes."""

    def result(self) -> npt.NDArray[Any]:
        """Map the complete file."""
        return self._reopened(str(self.path))

    @abstractmethod
    def _reopened(self, path: str) -> npt.NDArray[Any]:
        """Map a file for writing."""

    def _reserve(self, size: int) -> None:
        """Reserve the disk space now: a process that ran out of it later would be killed by SIGBUS."""
        if size and hasattr(os, "posix_fallocate"):
            with self.place.data.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, size)

    def _check_space(self, dtype: np.dtype[Any]) -> None:
        if math.prod(self.shape) * dtype.itemsize >= 2**62:
            raise OSError(errno.ENOSPC, "no disk is so large")
