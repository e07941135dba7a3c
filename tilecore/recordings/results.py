"""Results of batches on disk: written in place by the workers, or appended where their lengths are their own."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from tilecore.bytesize import format_bytes
from tilecore.errors import DiskSpaceError, ParameterError
from tilecore.formats.raw_layout import DataOrder, Layout, finished_yaml, yaml_path
from tilecore.output_file import Place

__all__ = ["Placed", "ResultFile", "Target"]

_COPIED_BYTES = 2**24


class Placed(NamedTuple):
    """Says where a worker has written a result.

    Attributes
    ----------
    first, n_items : int
        Counted from the file's first number.
    """

    first: int
    n_items: int


@dataclass(frozen=True)
class Target:
    """A file in the making, as workers reach it: any number of them write into it at once.

    Attributes
    ----------
    data : Path
    agreed : Path
        Tells kind of number and columns of all results; whoever is done first writes it.
    n_rows : int
        Rows that all batches have together.
    """

    data: Path
    agreed: Path
    n_rows: int

    def put(self, result: npt.NDArray[Any], row: int) -> Placed:
        """Write the rows of a batch from a row on.

        Raises
        ------
        ParameterError
            If the results of other batches are of another kind or have another number of columns.
        DiskSpaceError
            If all rows will not fit on the disk.
        """
        columns = columns_of(result)
        self.agree(result.dtype, columns)
        content = np.ascontiguousarray(result).reshape(-1).view(np.uint8).data
        first = row * max(columns, 1)
        offset = first * result.dtype.itemsize
        descriptor = os.open(self.data, os.O_WRONLY | os.O_CREAT, 0o666)
        try:
            while content:
                written = _write(descriptor, content, offset)
                content, offset = content[written:], offset + written
        finally:
            os.close(descriptor)
        return Placed(first, result.size)

    def agree(self, dtype: np.dtype[Any], columns: int) -> None:
        """Hold all results to one kind of number and the same columns: those of the result that is done first."""
        mine = f"{dtype.str} {columns}"
        found = self._agreed()
        if found is None:
            self._check_room(max(columns, 1) * dtype.itemsize)
            own = self.agreed.with_name(secrets.token_hex(8))
            own.write_text(mine)
            try:
                os.link(own, self.agreed)
            except FileExistsError:
                pass  # another worker was first
            finally:
                own.unlink()
            found = self._agreed()
        if found != mine:
            raise ParameterError(
                f"the function returned {_described(mine)}, and for another batch {_described(found)}: "
                "all results have one dtype (see cast_dtype=) and the same number of columns"
            )

    def form(self) -> tuple[np.dtype[Any], int]:
        """Kind of number and columns of what was written; 0 columns for lines of numbers."""
        found = self._agreed()
        if found is None:
            raise ParameterError("no batch gave a result: there is nothing to be written")
        dtype, columns = found.split()
        return np.dtype(dtype), int(columns)

    def _agreed(self) -> str | None:
        try:
            return self.agreed.read_text()
        except FileNotFoundError:
            return None

    def _check_room(self, row_bytes: int) -> None:
        needed, free = self.n_rows * row_bytes, shutil.disk_usage(self.data.parent).free
        if needed > free:
            raise DiskSpaceError(
                errno.ENOSPC,
                f"the output takes {format_bytes(needed)}, and the disk has {format_bytes(free)}",
                str(self.data),
            )


class ResultFile:
    """The output of one call: two files, which have their names when all is written.

    Parameters
    ----------
    path : path_like
    n_rows : int
        Rows that all batches have together.
    """

    def __init__(self, path: str | os.PathLike[str], n_rows: int) -> None:
        self._place = Place.create(Path(path), alone=True)
        self.path = Path(path)
        self.target = Target(self._place.data, self._place.folder / "agreed", n_rows)
        self._appended = self._place.folder / "appended"
        self._pieces: list[Placed | int] = []  # in order of time; of those that were appended, their bytes

    def add(self, found: object) -> Self:
        """Take the next result in order of time: appended now, unless a worker has placed it already."""
        if isinstance(found, Placed):
            self._pieces.append(found)
            return self
        result: npt.NDArray[Any] = np.asarray(found)
        self.target.agree(result.dtype, columns_of(result))
        with self._appended.open("ab") as file:
            file.write(np.ascontiguousarray(result).reshape(-1).view(np.uint8).data)
        self._pieces.append(result.nbytes)
        return self

    def commit(self, n_channels: int, data_order: DataOrder, lengths: Sequence[int]) -> dict[str, Any]:
        """Give the files their names, and return the parameters that are in the ``.yaml`` file.

        Parameters
        ----------
        n_channels : int
        data_order : DataOrder
        lengths : sequence of int
            Observations of each batch, in order of time.

        Raises
        ------
        ParameterError
            If channels have results of different lengths.
        """
        dtype, columns = self.target.form()
        items = [each.n_items if isinstance(each, Placed) else each // dtype.itemsize for each in self._pieces]
        if data_order == "channels":
            _check_channels(items, n_channels)
            layout = Layout(dtype, n_channels, data_order)
        else:
            layout = Layout(dtype, columns or _width(items, lengths, n_channels), data_order)
        self._join(dtype.itemsize)
        parameters = yaml_path(self.path)
        with finished_yaml(parameters, layout.params):
            # Between the two renames there is data without parameters, which nobody can take for something else.
            parameters.unlink(missing_ok=True)
            self._place.commit(overwrite=True)
        return layout.params

    def discard(self) -> None:
        """Remove what was written; files of these names stay as they were."""
        self._place.discard()

    def _join(self, itemsize: int) -> None:
        """Make one file of the results that were placed and of those that were appended, in order of time."""
        n_appended = sum(isinstance(piece, int) for piece in self._pieces)
        if n_appended == 0:
            self.target.data.touch()
        elif n_appended == len(self._pieces):
            os.replace(self._appended, self.target.data)
        else:
            joined = self._place.folder / "joined"
            _copy(self._pieces, self.target.data, self._appended, joined, itemsize)
            os.replace(joined, self.target.data)


def columns_of(result: npt.NDArray[Any]) -> int:
    """Columns of a table of results; 0 for a single line of them."""
    return int(result.shape[1]) if result.ndim == 2 else 0


def _width(items: Sequence[int], lengths: Sequence[int], n_channels: int) -> int:
    """Columns of lines of numbers: one of each channel, for a batch or for each of its observations; else just one."""
    pairs = zip(items, lengths, strict=True)
    return n_channels if all(n in (n_channels, n_channels * length) for n, length in pairs) else 1


def _check_channels(items: Sequence[int], n_channels: int) -> None:
    """Refuse channels of different lengths, which come in the same number of parts each."""
    of_channels = np.reshape(items, (n_channels, -1)).sum(axis=1)
    if (of_channels != of_channels[0]).any():
        raise ParameterError(
            f"the function returned {of_channels.min()} numbers of one channel and {of_channels.max()} of another: "
            "all channels of a file have the same length"
        )


def _described(agreed: str | None) -> str:
    dtype, columns = (agreed or "nothing 0").split()
    return f"numbers of {np.dtype(dtype)}" + ("" if columns == "0" else f" in {columns} columns")


def _copy(pieces: Sequence[Placed | int], placed: Path, appended: Path, target: Path, itemsize: int) -> None:
    with placed.open("rb") as one, appended.open("rb") as other, target.open("xb") as joined:
        for piece in pieces:
            if isinstance(piece, Placed):
                one.seek(piece.first * itemsize)
            file, rest = (one, piece.n_items * itemsize) if isinstance(piece, Placed) else (other, piece)
            while rest:
                rest -= joined.write(file.read(min(rest, _COPIED_BYTES)))


def _write(descriptor: int, content: memoryview, offset: int) -> int:
    if hasattr(os, "pwrite"):
        return os.pwrite(descriptor, content, offset)
    os.lseek(descriptor, offset, os.SEEK_SET)
    return os.write(descriptor, content)
