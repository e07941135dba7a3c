"""How the contract makes and reads the files of a sink."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from tilecore.formats.creating import create_sink, prepare_sink
from tilecore.formats.file_sink import FileSink

__all__ = ["SHAPE", "Driver", "same", "volume"]

SHAPE = (10, 33, 41)


def volume(dtype: str = "uint16") -> npt.NDArray[Any]:
    """The volume that is written."""
    return np.random.default_rng(3).integers(0, 120, SHAPE).astype(dtype)


def same(block: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Give back the block."""
    return block


class Driver:
    """What the parts of the contract share; see `SinkContract` for what subclasses give."""

    name: ClassVar[str] = ""
    options: ClassVar[dict[str, Any]] = {}
    dtypes: ClassVar[tuple[str, ...]] = ("uint8", "uint16", "int16", "float32")
    keeps_voxel_size: ClassVar[bool] = True
    beside: ClassVar[tuple[str, ...]] = ()

    def read(self, path: Path) -> npt.NDArray[Any]:
        """Read the file by another program, or by hand: not by tilecore."""
        raise NotImplementedError(f"{type(self).__name__} must have a method read(path) that gives the voxels")

    def path(self, folder: Path) -> Path:
        """Where the file is."""
        assert self.name, f"{type(self).__name__} must have a name: that of a file with its suffix"
        return folder / self.name

    def target(self, folder: Path) -> Path | str:
        """What `create_sink` is given for it."""
        return self.path(folder)

    def create(self, folder: Path, dtype: str = "uint16", **options: Any) -> FileSink:
        """Create it."""
        return create_sink(self.target(folder), SHAPE, dtype, **{**self.options, **options})

    def plan(self, folder: Path) -> FileSink:
        """Plan it; nothing is written yet."""
        return prepare_sink(self.target(folder), SHAPE, **self.options)

    def tiles(self, folder: Path) -> tuple[int, ...]:
        """A shape of tiles that write it."""
        return tuple(self.plan(folder).write_units or (5, 11, 41))

    def check_written(self, folder: Path, dtype: str = "uint16") -> None:
        """The file holds the volume, and nothing is beside it."""
        law = "another program must read what was written"
        np.testing.assert_array_equal(self.read(self.path(folder)), volume(dtype), err_msg=law)
        self.check_alone(folder)

    def check_alone(self, folder: Path, *others: str) -> None:
        """The file is there, and nothing else."""
        expected = sorted([self.path(folder).name, *self.beside, *others])
        assert sorted(os.listdir(folder)) == expected, "nothing may be left beside the complete file"
