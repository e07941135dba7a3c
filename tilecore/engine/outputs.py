"""Outputs of `map_tiles`: from the arguments of the caller to the returned arrays."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tilecore.array_types import DTypesLike, OneOutput, OutputLike, ReadableArray
from tilecore.arrays.access import Access, Reach
from tilecore.arrays.kinds import access_of
from tilecore.engine.dataset_variable import DatasetVariable, variable_sink
from tilecore.engine.dimensions import Labels
from tilecore.engine.finished_mark import is_finished
from tilecore.engine.inplace import kept_apart
from tilecore.engine.inputs import Inputs
from tilecore.engine.jobs import checksums_of
from tilecore.engine.output_image import described
from tilecore.engine.output_kinds import FileOutput, GivenOutput, NewOutput, Output, Owned, OwnedOutput
from tilecore.engine.write_units import common_units, cut_steps
from tilecore.errors import ParameterError, ParameterTypeError
from tilecore.formats.creating import prepare_sink
from tilecore.formats.file_sink import FileSink
from tilecore.formats.pyramids import Level
from tilecore.geometry.placement import Placement
from tilecore.geometry.tiles import Tile, TileGrid

__all__ = ["Outputs"]


class Outputs:
    """All outputs of a map.

    Parameters
    ----------
    out : None, array_like, path, or sequence of them
        As given to `map_tiles`.
    dtype : dtype_like, sequence of dtype_like, or None
        Data type of new outputs.
    placement : Placement
        Position of a tile's result in the outputs.
    grid : TileGrid
        The requested tiles: they give the volume's shape, and the chunks of new files.
    inputs : Inputs
        Sources of the run: they give the metadata of new files.
    overwrite : bool
        Whether files may be replaced.
    inplace : bool
        Whether an output may be a source.
    tilewise : bool
        Whether a tile's results depend only on the voxels that they replace.
    labels : Labels, optional
        Labels of the results.
    """

    def __init__(
        self,
        out: OutputLike | DatasetVariable,
        dtype: DTypesLike,
        *,
        placement: Placement,
        grid: TileGrid,
        inputs: Inputs,
        overwrite: bool = False,
        inplace: bool = False,
        tilewise: bool = False,
        labels: Labels | None = None,
    ) -> None:
        self._placement, self._labels, self._names = placement, labels, inputs.names
        self._shape, self._steps = placement.shape(grid.shape), cut_steps(grid, placement)
        self._several = isinstance(out, (list, tuple)) or isinstance(dtype, (list, tuple))
        told = described(inputs.info, placement) | {"overwrite": overwrite}
        pairs = zip(*_paired(out, dtype), strict=True)
        made = [self._output(each, _as_dtype(kind), told) for each, kind in pairs]
        paths = [each.resolve() for output in made for each in output.files]
        if len(set(paths)) < len(paths):
            raise ParameterError.of("out", [str(path) for path in paths], "each output needs its own file")
        self._outputs = kept_apart(made, inputs, inplace=inplace, tilewise=tilewise)

    def _output(self, out: OneOutput | DatasetVariable, dtype: np.dtype[Any] | None, told: dict[str, Any]) -> Output:
        if out is None:
            return NewOutput(self._shape, dtype)
        if isinstance(out, Owned):
            return OwnedOutput(out, self._shape)
        if self._labels is not None:
            self._labels.check_out(out)
        sink: object = out
        if isinstance(out, DatasetVariable):
            known: Any = {"labels": self._labels, "names": self._names, "overwrite": told["overwrite"]}
            sink = variable_sink(out, self._shape, placement=self._placement, **known)
        elif isinstance(out, (str, os.PathLike)):
            sink = prepare_sink(out, self._shape, **told)
        if isinstance(sink, FileSink) and not sink.is_created:
            if sink.shape != self._shape:
                raise ParameterError.of("out", sink.shape, f"must have the shape of the result, {self._shape}")
            sink.fit_tiles(self._steps)
            return FileOutput(sink, dtype)
        return GivenOutput(out, self._shape)

    @property
    def are_made(self) -> bool:
        """Whether all outputs exist and can be written."""
        return all(output.array is not None for output in self._outputs)

    @property
    def tokens(self) -> list[str | None]:
        """Token of each output that is a file; None for other outputs."""
        return [output.token for output in self._outputs]

    @property
    def journal_path(self) -> Path | None:
        """Default path of the journal: beside the first output file; None if there is no file."""
        return next((output.journal_path for output in self._outputs if output.path is not None), None)

    @property
    def datasets(self) -> tuple[str, ...]:
        """Name of each output's dataset in its file; empty for those that have no name."""
        return tuple([output.dataset for output in self._outputs])

    @property
    def sinks(self) -> list[FileSink]:
        """The outputs that are files, as they are written."""
        return [output.sink for output in self._outputs if isinstance(output, FileOutput)]

    def share(self, *, with_others: bool = True) -> None:
        """Tell that other parts of the run write the outputs, too: this process neither names nor removes them then."""
        for output in self._outputs:
            output.is_shared = with_others

    @property
    def _are_shared(self) -> bool:
        return any(output.is_shared for output in self._outputs)

    @property
    def persist(self) -> bool:
        """Whether all outputs outlive this process."""
        return all(output.persists for output in self._outputs)

    def adopt(self, tokens: Sequence[str | None]) -> bool:
        """Use the unfinished files of an earlier run for this one; False if they do not exist.

        Parameters
        ----------
        tokens : sequence of (str or None)
            Tokens from the journal. If their number differs, the journal belongs to another run and will say so.
        """
        if len(tokens) != len(self._outputs):
            return True
        pairs = list(zip(self._outputs, tokens, strict=True))
        if not all(output.can_continue(token) for output, token in pairs):
            return False
        for output, token in pairs:
            output.adopt(token)
        return True

    @property
    def units(self) -> tuple[int, ...]:
        """Smallest multiples that tiles must have, so that no two tiles write the same storage unit."""
        return common_units(self._placement, [output.units for output in self._outputs])

    @property
    def dtypes(self) -> tuple[np.dtype[Any], ...] | None:
        """Data type of each output; None if not known yet."""
        return tuple([np.dtype(output.array.dtype) for output in self._outputs]) if self.are_made else None

    @property
    def asked_dtypes(self) -> tuple[np.dtype[Any] | None, ...]:
        """Data type of each output that the caller asked for; None for the others."""
        return tuple([output.asked for output in self._outputs])

    @property
    def inferred(self) -> tuple[bool, ...]:
        """For each output, whether its dtype is taken from a result."""
        return tuple([output.asked is None for output in self._outputs])

    @property
    def given(self) -> list[Access]:
        """Access to the arrays that the caller has given."""
        return [access_of(output.given) for output in self._outputs if output.given is not None]

    @property
    def spaces(self) -> list[Hashable]:
        """Spaces (files or memory) that hold the caller's arrays."""
        return [extent.space for output in self._outputs for extent in output.extents]

    def refuse_existing(self) -> None:
        """Refuse to replace existing files, unless the caller allows it."""
        for output in self._outputs:
            output.refuse_existing()

    def are_finished(self, run: dict[str, Any]) -> bool:
        """Whether all outputs are files that the same run has completed."""
        return all(output.is_complete and is_finished(output.files[0], run) for output in self._outputs)

    def opened(self) -> ReadableArray | tuple[ReadableArray, ...] | None:
        """Return the outputs if an earlier run has completed all of them; nothing to a part of a run."""
        if self._are_shared:
            return None
        results = [output.opened() for output in self._outputs]
        return tuple(results) if self._several else results[0]

    def prepare(self, *, resume: bool) -> None:
        """Create the outputs whose dtypes are known, or open those of an earlier run."""
        if resume:
            for output in self._outputs:
                output.reopen()
        elif all(output.asked is not None for output in self._outputs):
            self.make_for([])

    def make_for(self, found: Sequence[np.dtype[Any]]) -> None:
        """Create the outputs for results of these dtypes; without dtypes, as the caller asked for."""
        if found and len(found) != len(self._outputs):
            if self._several or len(self._outputs) != 1:
                raise ParameterError(
                    f"the function returned {len(found)} results, but there are {len(self._outputs)} outputs"
                )
            self._several = True
            self._outputs = [NewOutput(self._shape, None) for _ in found]
        for number, output in enumerate(self._outputs):
            output.make(found[number] if output.asked is None else output.asked)

    def make_empty(self, dtype: np.dtype[Any]) -> None:
        """Create the outputs for a volume without voxels."""
        self.make_for([dtype] * len(self._outputs))

    def for_workers(self, reach: Reach) -> dict[str, Any]:
        """Attributes of a `Setup` that depend on the outputs, by name.

        ``sinks`` is None if there are no outputs yet, or if only this process can write them.
        """
        sinks = None
        if self.are_made:
            found = tuple([output.writable(reach) for output in self._outputs])
            sinks = None if any(sink is None for sink in found) else found
        return {"sinks": sinks, "dtypes": self.dtypes, "inferred": self.inferred}

    def write(self, tile: Tile, values: Sequence[npt.NDArray[Any]]) -> None:
        """Write a tile's results, in this process."""
        box = self._placement.box(tile.write)
        for output, value in zip(self._outputs, values, strict=True):
            output.array[box.slices] = value

    def bytes_of(self, tile: Tile) -> int:
        """Size of a tile's results [byte]."""
        return self._placement.box(tile.write).size * sum(dtype.itemsize for dtype in self.dtypes or ())

    def holds(self, tile: Tile, checksums: Sequence[int]) -> bool:
        """Whether the voxels of a tile have these checksums."""
        box = self._placement.box(tile.write)
        return checksums_of(np.asarray(output.array[box.slices]) for output in self._outputs) == tuple(checksums)

    def flush(self) -> None:
        """Flush the written voxels to the system, so that they outlive this process before the journal lists them."""
        for output in self._outputs:
            output.flush()

    def commit(
        self, make_level: Callable[[Level], object], run: dict[str, Any] | None = None
    ) -> ReadableArray | tuple[ReadableArray, ...] | None:
        """Complete all outputs and give files their names; return what the caller gets: a part of a run gets nothing.

        Parameters
        ----------
        make_level : callable
            Function that makes a coarser level of a pyramid.
        run : dict, optional
            Fingerprint of the run, with which files are marked.
        """
        if self._are_shared:
            self.release()
            return None
        for output in self._outputs:
            for level in output.levels():
                make_level(level)
            output.complete()
        self.refuse_existing()  # so that of several files either all get their names, or none
        results = [output.commit(run) for output in self._outputs]
        return tuple(results) if self._several else results[0]

    def release(self) -> None:
        """Close incomplete files, which a later run may continue."""
        for output in self._outputs:
            output.release()

    def discard(self) -> None:
        """Remove incomplete files."""
        for output in self._outputs:
            output.discard()


def _paired(out: OutputLike | DatasetVariable, dtype: DTypesLike) -> tuple[list[Any], list[Any]]:
    """Lists of outputs and dtypes, of the same length."""
    outs = list(out) if isinstance(out, (list, tuple)) else [out]
    dtypes = list(dtype) if isinstance(dtype, (list, tuple)) else [dtype]
    length = max(len(outs), len(dtypes))
    if len(outs) == 1 and outs[0] is None:
        outs *= length
    if len(dtypes) == 1:
        dtypes *= length
    if len(outs) != len(dtypes):
        raise ParameterError.of("dtype", dtype, f"{len(outs)} dtypes are needed, one per output")
    return outs, dtypes


def _as_dtype(dtype: npt.DTypeLike | None) -> np.dtype[Any] | None:
    try:
        kind = None if dtype is None else np.dtype(dtype)
    except TypeError as error:
        raise ParameterTypeError.of("dtype", dtype, "numpy does not know this dtype") from error
    if kind is not None and kind.hasobject:
        raise ParameterTypeError.of("dtype", kind, "Python objects make no volume; use collect_tiles")
    return kind
