"""RecordingsReader: a recording's file indexed by observation and channel, whatever its order."""

from __future__ import annotations

import os
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from tilecore.array_types import ArrayIndex
from tilecore.errors import ParameterError
from tilecore.formats.raw_layout import DataOrder, Layout
from tilecore.geometry.per_axis import as_integer
from tilecore.recordings.binary import BinaryReader, MemoryMap

__all__ = ["Loader", "RecordingsReader"]

#: How a file is read: mapped anew for each access, all of it at once, or by plain reads.
Loader: TypeAlias = Literal["memmap", "array", "python"]


class RecordingsReader:
    """A file of recordings, indexed as ``reader[observations, channels]``.

    Parameters
    ----------
    path_to_recordings : path_like
    dtype : dtype_like, optional
        Kind of number. Default, as of the next two: what the ``.yaml`` file of the same name says.
    n_channels : int, optional
    data_order : {"channels", "samples"}, optional
        Whether whole channels follow each other in the file, or the samples of all channels at one time.
    loader : {"memmap", "array", "python"}
        Map the file, read all of it now, or read parts by plain reads (see `BinaryReader` for what indices it takes).
    buffer_size : int
        Observations to read before and after the ones asked for; zeros where the file has none.
    return_data_index : bool
        Whether indexing gives ``(data, (slice(buffer_size, buffer_size + n), slice(None)))``: what of the data was
        asked for.
    data_format : {"wide", "long"}, optional
        Old name of `data_order`: "channels" or "samples".

    Attributes
    ----------
    data : MemoryMap, ndarray or BinaryReader, shape (observations, channels)
    dtype : dtype
    data_order : {"channels", "samples"}

    Raises
    ------
    ParameterError
        If the file's size does not fit, or parameters are missing, wrong, or contradict the ``.yaml`` file.
    MissingFileError
        If there is no file.

    Notes
    -----
    Process-safety: readers of "memmap" and "python" pickle as their parameters.

    References
    ----------
    .. [1] ``yass.batch.RecordingsReader``.
    """

    def __init__(
        self,
        path_to_recordings: str | os.PathLike[str],
        dtype: npt.DTypeLike | None = None,
        n_channels: int | None = None,
        data_order: str | None = None,
        loader: Loader = "memmap",
        buffer_size: int = 0,
        return_data_index: bool = False,
        data_format: str | None = None,
    ) -> None:
        if loader not in ("memmap", "array", "python"):
            raise ParameterError.of("loader", loader, "'memmap', 'array' or 'python'")
        self.layout = Layout.of(path_to_recordings, dtype, n_channels, data_order, data_format)
        self.path_to_recordings, self.loader = path_to_recordings, loader
        self.buffer_size = as_integer(buffer_size, "buffer_size", minimum=0)
        self.return_data_index = return_data_index
        self._shape = (self.layout.observations_in(path_to_recordings), self.layout.n_channels)
        self.data = self._load()

    @property
    def shape(self) -> tuple[int, int]:
        """Number of observations and of channels."""
        return self._shape

    @property
    def observations(self) -> int:
        """Number of observations."""
        return self._shape[0]

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self._shape[1]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Kind of number."""
        return self.layout.dtype

    @property
    def data_order(self) -> DataOrder:
        """Order of the numbers in the file."""
        return self.layout.data_order

    def __len__(self) -> int:
        return self.observations

    def __getitem__(self, key: ArrayIndex) -> Any:
        """Read observations of channels, with the buffer if there is one.

        Raises
        ------
        ParameterError
            If observations that have a buffer are not a slice without a step.
        """
        rows, columns = key if isinstance(key, tuple) and len(key) == 2 else (key, slice(None))
        if not self.buffer_size:
            whole = (key, slice(None)) if isinstance(key, (int, np.integer, slice)) else key
            data = self.data[whole if isinstance(self.data, BinaryReader) else key]
            n_rows = np.shape(data)[0] if np.ndim(data) else 1
            return self._with_index(data, n_rows)
        if not isinstance(rows, slice) or rows.step not in (None, 1):
            raise ParameterError.of("key", rows, "observations with a buffer are a slice without a step")
        first, stop, _ = rows.indices(self.observations)
        stop = max(first, stop)
        low, high = max(first - self.buffer_size, 0), min(stop + self.buffer_size, self.observations)
        inside = np.asarray(self.data[low:high, columns])
        before, after = self.buffer_size - (first - low), self.buffer_size - (high - stop)
        data = np.zeros((before + len(inside) + after, *inside.shape[1:]), dtype=inside.dtype)
        data[before : before + len(inside)] = inside
        return self._with_index(data, stop - first)

    def _with_index(self, data: object, n_rows: int) -> object:
        if not self.return_data_index:
            return data
        return data, (slice(self.buffer_size, self.buffer_size + n_rows), slice(None))

    def _load(self) -> MemoryMap | npt.NDArray[Any] | BinaryReader:
        path, layout = self.path_to_recordings, self.layout
        order = layout.memory_order
        if self.loader == "array" or 0 in self._shape:
            return np.fromfile(path, dtype=layout.dtype).reshape(self._shape, order=order)
        if self.loader == "memmap":
            return MemoryMap(path, dtype=layout.dtype, mode="r", shape=self._shape, order=order)
        return BinaryReader(path, layout.dtype, self._shape, order)
