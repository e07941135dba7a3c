"""Reader of raw files without a header: the caller gives shape and dtype."""

from __future__ import annotations

import math
import os
from typing import Literal

import numpy as np

from tilecore.errors import ParameterError, ParameterTypeError, UnreadableFileError
from tilecore.formats.axes import default_axes
from tilecore.formats.image_info import ImageInfo
from tilecore.formats.reader import MappedReader
from tilecore.formats.reader_errors import reading

__all__ = ["open_raw"]


def open_raw(
    path: str,
    *,
    shape: tuple[int, ...] | None = None,
    dtype: str | None = None,
    offset: int = 0,
    order: Literal["C", "F"] = "C",
) -> MappedReader:
    """Open a file of raw numbers as a memory map."""
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
