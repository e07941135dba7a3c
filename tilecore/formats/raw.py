"""Reader and sink for raw numbers without a header: the caller, or a ``.yaml`` file, says what they are."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tilecore.errors import ParameterError, ParameterTypeError, UnreadableFileError
from tilecore.formats.axes import default_axes
from tilecore.formats.image_info import ImageInfo
from tilecore.formats.mapped_sink import MappedSink
from tilecore.formats.raw_layout import (
    describe_raw,
    finished_yaml,
    import_yaml,
    raw_shape,
    write_yaml,
    yaml_path,
)
from tilecore.formats.reader import MappedReader
from tilecore.formats.reader_errors import reading
from tilecore.formats.sink import SinkSpec

__all__ = ["RawSink", "open_raw"]


def open_raw(
    path: str,
    *,
    shape: tuple[int, ...] | None = None,
    dtype: str | None = None,
    offset: int = 0,
    order: Literal["C", "F"] = "C",
) -> MappedReader:
    """Open a file of raw numbers as a memory map; what is not given is in the ``.yaml`` file beside a recording."""
    if shape is None and dtype is None and yaml_path(path).is_file():
        found, number, its_order = raw_shape(path)
        with reading(path, "numbers"):
            return MappedReader(path, ImageInfo("raw", found, number, _axes(found)).check(path), 0, its_order)
    if shape is None or dtype is None:
        raise ParameterError(f"{path} has no header: give shape= and dtype=")
    if order not in ("C", "F"):
        raise ParameterError.of("order", order, "'C' or 'F'")
    if offset < 0 or any(length < 0 for length in shape):
        raise ParameterError(f"shape={shape}, offset={offset}: neither can be negative")
    try:
        kind = np.dtype(dtype)
    except TypeError as error:
        raise ParameterTypeError.of("dtype", dtype, str(error)) from error
    needed, size = offset + math.prod(shape) * kind.itemsize, os.path.getsize(path)
    if needed > size:
        raise UnreadableFileError(f"{path} has {size} bytes; {shape} voxels of {kind} from byte {offset} need {needed}")
    with reading(path, "numbers"):
        return MappedReader(path, ImageInfo("raw", shape, kind, default_axes(len(shape))).check(path), offset, order)


def _axes(shape: tuple[int, ...]) -> str:
    """Two axes are those of a recording."""
    return "TC" if len(shape) == 2 else default_axes(len(shape))


class RawSink(MappedSink):
    """Raw numbers in a file, with a ``.yaml`` file beside it that says what they are.

    Arrays of one or two axes are written as recordings: all channels of an observation beside each other.
    """

    kind = "raw"

    def __init__(self, spec: SinkSpec) -> None:
        super().__init__(spec)
        import_yaml()  # what is missing is told before any work

    @property
    def files(self) -> tuple[Path, ...]:
        """The numbers, and what tells of them."""
        return self.path, yaml_path(self.path)

    def commit(self) -> None:
        """Give both files their names."""
        parameters = yaml_path(self.path)
        with finished_yaml(parameters, describe_raw(self.shape, self.dtype)):
            # Between the two renames there are numbers without parameters, which nobody takes for something else.
            if self.spec.overwrite:
                parameters.unlink(missing_ok=True)
            super().commit()

    def _make(self, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        data = self.place.data
        write_yaml(yaml_path(data), describe_raw(self.shape, dtype))  # for those who open it again
        data.touch()
        self._reserve(math.prod(self.shape) * dtype.itemsize)
        return self._mapped(str(data), dtype)

    def _reopened(self, path: str) -> npt.NDArray[Any]:
        shape, dtype, _ = raw_shape(path)
        if shape not in (self.shape, (*self.shape, 1)):
            raise UnreadableFileError(f"{path} has the shape {shape}, not {self.shape}: delete it to start over")
        return self._mapped(path, dtype)

    def _mapped(self, path: str, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        if 0 in self.shape:  # nothing to map
            return np.empty(self.shape, dtype)
        mapped: npt.NDArray[Any] = np.memmap(path, dtype, "r+", shape=self.shape)
        return mapped
