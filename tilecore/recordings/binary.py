"""Files of plain numbers as arrays of two axes, read a part at a time."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from tilecore.array_types import ArrayIndex
from tilecore.errors import BoundsError, MissingFileError, ParameterError, ParameterTypeError, UnreadableFileError

__all__ = ["BinaryReader", "MemoryMap"]

_Mode: TypeAlias = Literal["r", "c", "r+", "w+", "readonly", "copyonwrite", "readwrite", "write"]


class MemoryMap:
    """A mapped file that is mapped anew for each access, so that little of it stays in memory.

    Parameters
    ----------
    filename, dtype, mode, offset, shape, order
        As of `numpy.memmap`.

    Attributes
    ----------
    shape : tuple of int
    dtype : dtype
    ndim : int
    size : int

    Notes
    -----
    Process-safety: pickles as the arguments.

    References
    ----------
    .. [1] ``yass.batch.MemoryMap``.
    """

    def __init__(
        self,
        filename: str | os.PathLike[str],
        dtype: npt.DTypeLike = np.uint8,
        mode: _Mode = "r+",
        offset: int = 0,
        shape: int | tuple[int, ...] | None = None,
        order: Literal["C", "F"] = "C",
    ) -> None:
        first: np.memmap[Any, Any] = np.memmap(filename, dtype, mode, offset, shape, order)
        self.shape, self.dtype, self.ndim, self.size = first.shape, first.dtype, first.ndim, first.size
        later: _Mode = "r+" if mode in ("w+", "write") else mode  # it is made once
        self._arguments = (filename, dtype, later, offset, first.shape, order)

    def __getitem__(self, key: ArrayIndex) -> Any:
        return self._map()[key]

    def __setitem__(self, key: ArrayIndex, value: npt.ArrayLike) -> None:
        self._map()[key] = value

    def __len__(self) -> int:
        return int(self.shape[0])

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.array(self._map(), dtype=dtype, copy=copy)

    def _map(self) -> np.memmap[Any, Any]:
        return np.memmap(*self._arguments)


class BinaryReader:
    """A large array in a file, of which ``reader[rows, columns]`` reads a part with plain reads.

    Parameters
    ----------
    path_to_file : path_like
    dtype : dtype_like
    shape : (int, int)
        Rows and columns.
    order : {"F", "C"}
        Whether whole columns ("F") or whole rows ("C") follow each other in the file.

    Raises
    ------
    ParameterError
        If the order is another, or the file's size does not fit the shape.

    Notes
    -----
    Process-safety: opens the file for each access, and pickles as its parameters. A list of rows is read in "C" order,
    a list of columns in "F" order.

    References
    ----------
    .. [1] ``yass.batch.BinaryReader``.
    """

    def __init__(
        self,
        path_to_file: str | os.PathLike[str],
        dtype: npt.DTypeLike,
        shape: tuple[int, int],
        order: Literal["F", "C"] = "F",
    ) -> None:
        if order not in ("C", "F"):
            raise ParameterError.of("order", order, "'C' or 'F'")
        if not os.path.isfile(path_to_file):
            raise MissingFileError.of("path_to_file", str(path_to_file), "there is no such file")
        self.path_to_file, self.order = path_to_file, order
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self.shape = (int(shape[0]), int(shape[1]))
        needed, size = self.shape[0] * self.shape[1] * self.dtype.itemsize, os.path.getsize(path_to_file)
        if needed != size:
            raise ParameterError(f"{path_to_file} has {size} bytes; {self.shape} numbers of {self.dtype} take {needed}")

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: ArrayIndex) -> Any:
        """Read a part.

        Parameters
        ----------
        key : (int or slice or list of int, int or slice or list of int)
            Rows and columns; slices have no step.

        Raises
        ------
        ParameterError
            If there are not two keys.
        NotImplementedError
            If a slice has a step, or the list is of the axis that is not read whole at a time.
        BoundsError
            If a row or a column is not there.
        """
        if not isinstance(key, tuple) or len(key) != 2:
            raise ParameterError.of("key", key, "rows and columns are needed: reader[rows, columns]")
        is_rows_first = self.order == "C"
        lengths = self.shape if is_rows_first else self.shape[::-1]
        outer, inner = key if is_rows_first else key[::-1]
        if not isinstance(inner, (int, np.integer, slice)):
            kind = "columns" if is_rows_first else "rows"
            raise NotImplementedError(
                f"a list of {kind} of a file in order {self.order!r}: read a slice, and choose then"
            )
        lines, first, stop = _numbers(outer, lengths[0]), *_span(inner, lengths[1])
        block = self._read(lines, first, max(stop, first), lengths[1])
        block = block if is_rows_first else block.T
        drop = [0 if isinstance(each, (int, np.integer)) else slice(None) for each in key]
        return block[tuple(drop)]

    def _read(self, lines: Sequence[int], first: int, stop: int, length: int) -> npt.NDArray[Any]:
        """Read a span of each line; lines that lie beside each other and are read whole are one read."""
        block = np.empty((len(lines), stop - first), dtype=self.dtype)
        if block.size == 0:
            return block
        with open(self.path_to_file, "rb", buffering=0) as file:
            if stop - first == length and isinstance(lines, range):
                self._fill(file.fileno(), block, lines[0] * length)
            else:
                for row, line in zip(block, lines, strict=True):
                    self._fill(file.fileno(), row, line * length + first)
        return block

    def _fill(self, descriptor: int, target: npt.NDArray[Any], number: int) -> None:
        rest, offset = target.reshape(-1).view(np.uint8).data, number * self.dtype.itemsize
        while rest:
            n_bytes = (
                os.preadv(descriptor, [rest], offset) if hasattr(os, "preadv") else _read(descriptor, rest, offset)
            )
            if n_bytes == 0:
                raise UnreadableFileError(f"{self.path_to_file} was cut off while it was in use")
            rest, offset = rest[n_bytes:], offset + n_bytes


def _read(descriptor: int, target: memoryview, offset: int) -> int:
    os.lseek(descriptor, offset, os.SEEK_SET)
    content = os.read(descriptor, len(target))
    target[: len(content)] = content
    return len(content)


def _numbers(key: object, length: int) -> Sequence[int]:
    """Which lines a key asks for: a range where they lie beside each other."""
    if isinstance(key, (int, np.integer, slice)):
        first, stop = _span(key, length)
        return range(first, max(stop, first))
    numbers = np.asarray(key)
    if numbers.dtype == bool and numbers.shape == (length,):
        numbers = np.flatnonzero(numbers)
    if numbers.ndim != 1 or (numbers.size and numbers.dtype.kind not in "iu"):
        raise ParameterTypeError.of("key", key, "a whole number, a slice, or a list of whole numbers")
    return [_position(int(each), length) for each in numbers]


def _span(key: int | np.integer[Any] | slice, length: int) -> tuple[int, int]:
    if isinstance(key, slice):
        if key.step not in (None, 1):
            raise NotImplementedError(f"{key}: a step; read all of it, and choose then")
        first, stop, _ = key.indices(length)
        return first, stop
    position = _position(int(key), length)
    return position, position + 1


def _position(number: int, length: int) -> int:
    if not -length <= number < length:
        raise BoundsError.of("key", number, f"there are {length}")
    return number % length
