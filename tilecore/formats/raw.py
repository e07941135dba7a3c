"""Reader and sink for raw numbers without a header: the caller, or a ``.yaml`` file, says what they are."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tilecore.errors import OutputExistsError, ParameterError, ParameterTypeError, UnreadableFileError
from tilecore.formats.image_info import ImageInfo
from tilecore.formats.mapped_sink import MappedSink
from tilecore.formats.raw_layout import (
    describe_raw,
    finished_yaml,
    import_yaml,
    is_raw_description,
    raw_shape,
    write_yaml,
    yaml_path,
)
from tilecore.formats.reader import MappedReader
from tilecore.formats.reader_errors import reading
from tilecore.formats.sink import SinkSpec

__all__ = ["RawSink", "open_raw"]

# Of files whose ``.yaml`` file has the same name.
_SUFFIXES = (".bin", ".dat", ".raw")


def open_raw(
    path: str,
    *,
    shape: tuple[int, ...] | None = None,
    dtype: str | None = None,
    offset: int = 0,
    order: Literal["C", "F"] = "C",
) -> MappedReader:
    """Open a file of raw numbers as a memory map; what is not given is in the ``.yaml`` file beside a recording."""
    is_plain = offset == 0 and order == "C"
    if shape is None and dtype is None and is_plain and yaml_path(path).is_file():
        found, number, its_order = raw_shape(path)
        with reading(path, "numbers"):
            return MappedReader(path, ImageInfo("raw", found, number, axes=_axes(found)).check(path), 0, its_order)
    if shape is None and not os.path.getsize(path):
        raise UnreadableFileError(f"{path} is empty: zero bytes")
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
        return MappedReader(path, ImageInfo("raw", shape, kind, axes="").check(path), offset, order)


def _axes(shape: tuple[int, ...]) -> str:
    """Two axes are those of a recording."""
    return "TC" if len(shape) == 2 else ""


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

    def refuse_existing(self) -> None:
        """Raise an error for a file of this name, and for one that the ``.yaml`` file would tell of, too."""
        super().refuse_existing()
        self._refuse_others()

    def commit(self) -> None:
        """Give both files their names."""
        if self.spec.overwrite or not os.path.lexists(self.path):
            self._refuse_others()
        parameters = yaml_path(self.path)
        before = parameters.read_bytes() if self.spec.overwrite and parameters.exists() else None
        with finished_yaml(parameters, self._description(self.dtype)):
            try:
                # Between the two renames there are numbers without parameters, which nobody takes for something else.
                if before is not None:
                    parameters.unlink()
                super().commit()
            except BaseException:
                if before is not None:
                    parameters.write_bytes(before)
                raise

    def _refuse_others(self) -> None:
        """Raise an error if the ``.yaml`` file is there and not of these numbers, or would tell of others."""
        parameters = yaml_path(self.path)
        for other in [self.path.with_suffix(suffix) for suffix in (*_SUFFIXES, ".meta")]:
            if other != self.path and os.path.lexists(other):
                raise OutputExistsError(f"{other} exists, and {self.path.name} would be mixed up with it: rename one")
        is_replaced = self.spec.overwrite and os.path.lexists(self.path)
        if os.path.lexists(parameters) and not (is_replaced or self._is_left_over(parameters)):
            raise OutputExistsError(f"{parameters} exists, and is not of {self.path.name}: choose another name")

    def _is_left_over(self, parameters: Path) -> bool:
        """Whether a ``.yaml`` file tells of raw numbers that are no longer there."""
        others = [each for each in parameters.parent.iterdir() if each.stem == self.path.stem]
        return not {*others} - {self.path, parameters} and is_raw_description(parameters)

    def _description(self, dtype: np.dtype[Any]) -> dict[str, Any]:
        return describe_raw(self.shape, dtype, self.spec.channel_names, self.spec.recorded)

    def _make(self, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        data = self.place.data
        write_yaml(yaml_path(data), self._description(dtype))  # for those who open it again
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
