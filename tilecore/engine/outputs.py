"""The outputs of a map: arrays that were given, files, or arrays made once their dtype is known."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tilecore.bytesize import format_bytes
from tilecore.engine.sinks import common_units, open_sink, persists, token_of, writable_by_workers
from tilecore.errors import MemoryBudgetError, ParameterError, ParameterTypeError
from tilecore.executors.base import Reach
from tilecore.formats.creating import plan_sink
from tilecore.formats.description import ImageInfo
from tilecore.formats.file_sink import FileSink
from tilecore.formats.opening import open_source
from tilecore.formats.sink import Downsampler
from tilecore.geometry.placement import Placement
from tilecore.geometry.tiles import Tile
from tilecore.machine import available_memory

__all__ = ["Outputs"]


class Outputs:
    """Where the results of a map go.

    Parameters
    ----------
    out : None, array_like, path, or sequence of them
        As given to `map_tiles`.
    dtype : dtype_like, sequence of dtype_like, or None
    placement : Placement
    volume_shape : tuple of int
    info : ImageInfo, optional
        Of the source: what of it holds for the outputs is written into files.
    overwrite : bool
        Whether files may be replaced.

    Attributes
    ----------
    arrays : list of array_like, or None
        The outputs; None until their number and dtypes are known.
    tokens : list of (str or None)
        Of outputs that the caller has made, what tells them from others of the same name.
    """

    def __init__(
        self,
        out: Any,
        dtype: Any,
        *,
        placement: Placement,
        volume_shape: tuple[int, ...],
        info: ImageInfo | None = None,
        overwrite: bool = False,
    ) -> None:
        self._placement = placement
        self._shape = placement.shape(volume_shape)
        self._several = isinstance(out, (list, tuple)) or isinstance(dtype, (list, tuple))
        wanted, dtypes = _paired(out, dtype)
        described = _described(info, placement)
        self._files = [
            each
            if _is_planned(each)
            else plan_sink(each, self._shape, overwrite=overwrite, **described)
            if isinstance(each, (str, os.PathLike))
            else None
            for each in wanted
        ]
        self.tokens = [token_of(each) for each in wanted]
        paths = [file.path.resolve() for file in self._files if file is not None]
        if len(set(paths)) < len(paths):
            raise ParameterError.of("out", [str(path) for path in paths], "one file for each output is needed")
        self._given = [
            None if each is None or file is not None else open_sink(each, self._shape)
            for each, file in zip(wanted, self._files, strict=True)
        ]
        pairs = zip(self._given, dtypes, strict=True)
        self._dtypes = [_as_dtype(dtype) if given is None else given.dtype for given, dtype in pairs]
        self.arrays: list[Any] | None = None

    @property
    def journal_path(self) -> Path | None:
        """Where the journal is if nobody says otherwise: beside the first file."""
        paths = [file.path for file in self._files if file is not None]
        return paths[0].with_name(paths[0].name + ".journal") if paths else None

    @property
    def persist(self) -> bool:
        """Whether all outputs outlive this process."""
        return all(
            file is not None or (given is not None and persists(given))
            for file, given in zip(self._files, self._given, strict=True)
        )

    @property
    def are_begun(self) -> bool:
        """Whether an earlier run has left all files half done."""
        return all(file is None or file.exists for file in self._files)

    def prepare(self, *, resume: bool) -> None:
        """Make the outputs whose dtypes are known, or open those that an earlier run has begun."""
        if resume:
            pairs = zip(self._files, self._given, strict=True)
            self.arrays = [given if file is None else file.reopen().target for file, given in pairs]
        elif all(dtype is not None for dtype in self._dtypes):
            self._make([dtype for dtype in self._dtypes if dtype is not None])

    @property
    def units(self) -> tuple[int, ...]:
        """What tiles must be multiples of, so that no two write one storage unit."""
        sinks = [each for each in (*self._given, *self._files) if each is not None]
        return common_units(self._placement, sinks)

    @property
    def dtypes(self) -> tuple[np.dtype[Any], ...] | None:
        """Dtype of each output, if known."""
        return None if self.arrays is None else tuple([np.dtype(each.dtype) for each in self.arrays])

    @property
    def asked_dtypes(self) -> tuple[np.dtype[Any] | None, ...]:
        """Dtype of each output, as far as the caller has said it."""
        return tuple(self._dtypes)

    @property
    def inferred(self) -> tuple[bool, ...]:
        """Of each output, whether its dtype was taken from a result."""
        return tuple([dtype is None for dtype in self._dtypes])

    def for_workers(self, reach: Reach) -> dict[str, Any]:
        """What a `MapJob` has to know of the outputs, by the names of its attributes.

        There are no sinks as long as there are no outputs, or if only this process can write them.
        """
        sinks = None
        if self.arrays is not None:
            found = tuple([writable_by_workers(each, reach) for each in self.arrays])
            sinks = None if any(sink is None for sink in found) else found
        return {"sinks": sinks, "dtypes": self.dtypes, "inferred": self.inferred}

    def make_for(self, found: Sequence[np.dtype[Any]]) -> None:
        """Make the outputs that results of these dtypes need."""
        if len(found) != len(self._files):
            if self._several or len(self._files) != 1:
                raise ParameterError(
                    f"the function returned {len(found)} results, but there are {len(self._files)} outputs"
                )
            self._several = True
            self._files, self._given, self._dtypes = [None] * len(found), [None] * len(found), [None] * len(found)
        self._make([own if dtype is None else dtype for own, dtype in zip(found, self._dtypes, strict=True)])

    def make_empty(self, dtype: np.dtype[Any]) -> None:
        """Make outputs of a volume without voxels."""
        self._make([dtype] * len(self._files))

    def write(self, tile: Tile, values: Sequence[npt.NDArray[Any]]) -> None:
        """Write a tile's results from this process."""
        assert self.arrays is not None
        box = self._placement.box(tile.write)
        for array, value in zip(self.arrays, values, strict=True):
            array[box.slices] = value

    def flush(self) -> None:
        """See to it that what was written outlives this process: the journal will say that it is there."""
        for file in self._files:
            if file is not None:
                file.flush()

    def commit(self, downsample: Downsampler | None = None) -> Any:
        """Give files their names; return what the caller gets.

        Parameters
        ----------
        downsample : callable, optional
            Makes the coarser levels of files that have some.
        """
        assert self.arrays is not None
        results = self.arrays
        for number, file in enumerate(self._files):
            if file is not None:
                results[number] = None  # a map of the file under its other name
                file.commit(downsample)
                mapped = file.result()
                results[number] = open_source(file.path) if mapped is None else mapped
        return tuple(results) if self._several else results[0]

    def discard(self) -> None:
        """Remove files that did not become complete."""
        for file in self._files:
            if file is not None:
                file.discard()

    def _make(self, dtypes: Sequence[np.dtype[Any]]) -> None:
        self.arrays = [
            given if given is not None else self._new(file, dtype)
            for given, file, dtype in zip(self._given, self._files, dtypes, strict=True)
        ]

    def _new(self, file: FileSink | None, dtype: np.dtype[Any]) -> Any:
        if file is not None:
            return file.create(dtype).target
        needed, free = math.prod(self._shape) * dtype.itemsize, available_memory()
        if needed > free:
            raise MemoryBudgetError(
                f"the result needs {format_bytes(needed)} and {format_bytes(free)} of memory are free: "
                "give out= a path or another array on disk"
            )
        return np.empty(self._shape, dtype)


def _paired(out: Any, dtype: Any) -> tuple[list[Any], list[Any]]:
    """As many outs as dtypes."""
    outs = list(out) if isinstance(out, (list, tuple)) else [out]
    dtypes = list(dtype) if isinstance(dtype, (list, tuple)) else [dtype]
    length = max(len(outs), len(dtypes))
    if len(outs) == 1 and outs[0] is None:
        outs *= length
    if len(dtypes) == 1:
        dtypes *= length
    if len(outs) != len(dtypes):
        raise ParameterError.of("dtype", dtype, f"{len(outs)} are needed, one per output")
    return outs, dtypes


def _as_dtype(dtype: Any) -> np.dtype[Any] | None:
    try:
        return None if dtype is None else np.dtype(dtype)
    except TypeError as error:
        raise ParameterTypeError.of("dtype", dtype, "numpy knows no such dtype") from error


def _described(info: ImageInfo | None, placement: Placement) -> dict[str, Any]:
    """What is still true of an image after its axes were scaled, dropped or added."""
    if info is None or placement.added:
        return {}
    axes = "".join([name for axis, name in enumerate(info.axes) if axis not in placement.dropped])
    factors = dict(zip(info.axes, placement.scale, strict=True))
    size = info.voxel_size_um
    if size is not None:
        z, y, x = [float(each / factors.get(axis, 1)) for each, axis in zip(size, "ZYX", strict=True)]
        size = (z, y, x)
    return {"axes": axes, "voxel_size_um": size, "channel_names": info.channel_names if "C" in axes else ()}


def _is_planned(out: Any) -> bool:
    """Whether an output is a sink of which nothing is on disk yet."""
    return isinstance(out, FileSink) and not out.is_created
