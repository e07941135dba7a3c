"""Python objects that are packed for other machines: they reach no shared memory, and mapped files by their paths."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any

import cloudpickle
import numpy as np
import numpy.typing as npt

from tilecore.arrays.bases import mapped_file, segment_mapping
from tilecore.arrays.pickling import Nowhere, name_of, offset_in_file, pack_script_by_value
from tilecore.errors import MissingFileError, ShippingError
from tilecore.memory.segments import Segment

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["packed", "packed_size"]


def packed(item: object, most: int) -> bytes | None:
    """Pack an object for other machines, whose programs open it by `pickle.loads`; None if that takes more bytes.

    Raises
    ------
    ShippingError
        If a part of it cannot be packed, or lies in shared memory.
    """
    stream = _Limited(most)
    try:
        _dump_far(item, stream)
    except _FullError:
        return None
    return stream.getvalue()


def packed_size(item: object) -> int:
    """Size of what `packed` gives [byte]; nothing is kept."""
    stream = Nowhere()
    _dump_far(item, stream)
    return stream.n_bytes


def _dump_far(item: object, stream: io.BytesIO) -> None:
    try:
        _FarPickler(stream, protocol=5).dump(item)
    except _FullError:
        raise
    except Exception as error:
        raise ShippingError(f"{name_of(item)} cannot be sent to other machines: {error}") from error


class _FullError(Exception):
    """A stream may take no more."""


class _Limited(io.BytesIO):
    """A stream that takes no more than some bytes."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def write(self, content: ReadableBuffer, /) -> int:
        if self.tell() + memoryview(content).nbytes > self._most:
            raise _FullError
        return super().write(content)


class _FarPickler(cloudpickle.Pickler):  # type: ignore[misc]
    """A cloudpickle pickler that packs mapped files as paths, and refuses shared memory."""

    def __init__(self, stream: io.BytesIO, protocol: int) -> None:
        pack_script_by_value()
        super().__init__(stream, protocol=protocol)

    def reducer_override(self, item: object) -> object:
        if isinstance(item, Segment):
            raise ShippingError("it holds shared memory, which only this machine has; give a path or an ndarray")
        if isinstance(item, np.ndarray) and (file := mapped_file(item)) is not None and segment_mapping(item) is None:
            layout = (item.shape, item.dtype, item.strides)
            return _view_same_file, (file.path, _stamp(file.path), offset_in_file(item), *layout)
        return super().reducer_override(item)


def _stamp(path: str) -> tuple[int, int]:
    """Size and time of change of a file: on other machines it has another device number."""
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns


def _view_same_file(
    path: str,
    stamp: tuple[int, int],
    offset: int,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    strides: tuple[int, ...],
) -> npt.NDArray[Any]:
    if not os.path.exists(path):
        raise MissingFileError(f"{path} is not there")
    if _stamp(path) != stamp:
        raise ShippingError(f"{path} is another file here, or has changed since it was mapped")
    whole: npt.NDArray[Any] = np.memmap(path, dtype=np.uint8, mode="r")
    return np.ndarray(shape, dtype, buffer=whole, offset=offset, strides=strides)
