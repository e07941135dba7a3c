"""Outputs that are also inputs: found before any work, and written safely if the caller allows it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from tilecore.array_types import ReadableArray
from tilecore.arrays.access import Reach
from tilecore.arrays.extents import Extent, overlap, repeats
from tilecore.arrays.kinds import access_of
from tilecore.engine.inputs import Inputs
from tilecore.engine.output_kinds import FileOutput, GivenOutput, NewOutput, Output
from tilecore.errors import ParameterError
from tilecore.formats.creating import prepare_sink

__all__ = ["kept_apart"]


def kept_apart(outputs: Sequence[Output], inputs: Inputs, *, inplace: bool, tilewise: bool) -> list[Output]:
    """Refuse outputs that share voxels with another array, or choose a way to write them without harm.

    Parameters
    ----------
    outputs : sequence of Output
        The outputs.
    inputs : Inputs
        The sources.
    inplace : bool
        Whether an output may be a source.
    tilewise : bool
        Whether a tile's results depend only on the voxels that they replace.

    Raises
    ------
    ParameterError
        If outputs share voxels, or an output is a source without `inplace`.
    """
    extents = [output.extents for output in outputs]
    if any(repeats(each) for of_one in extents for each in of_one):
        raise ParameterError("out: several voxels of the output lie in the same place; give another array")
    if any(overlap(*pair) for pair in itertools.combinations(extents, 2)):
        raise ParameterError("out: two outputs share memory or a file; give each output its own")
    return [
        _apart(output, [source for source in inputs.extents if overlap(output.extents, source)], inplace, tilewise)
        for output in outputs
    ]


def _apart(output: Output, shared: list[tuple[Extent, ...]], inplace: bool, tilewise: bool) -> Output:
    if not shared:
        return output
    if not inplace:
        raise ParameterError(
            "out shares memory or a file with a source, and tiles would read what others have written: "
            "give another array, or pass inplace=True"
        )
    assert isinstance(output, GivenOutput)
    if tilewise and all(_is_same_array(output.extents, source) for source in shared):
        return _ByThisProcess(output)
    return _ThroughTemporary(output)


def _is_same_array(one: tuple[Extent, ...], other: tuple[Extent, ...]) -> bool:
    """Whether two arrays store each voxel at the same place in memory or in a file."""
    return len(one) == len(other) and all(
        mine.space == yours.space and _layout(mine) == _layout(yours) for mine, yours in zip(one, other, strict=True)
    )


def _layout(extent: Extent) -> tuple[int, tuple[int, ...], tuple[int, ...], int] | None:
    array = extent.voxels
    return array if array is None else (array.ctypes.data, array.shape, array.strides, array.itemsize)


class _ByThisProcess(Output):
    """A source that only this process writes, so that a tile is unchanged if its worker dies."""

    def __init__(self, given: GivenOutput) -> None:
        super().__init__(given.asked)
        self._source, self.array, self.given, self.units = given, given.array, given.given, given.units

    @property
    def extents(self) -> tuple[Extent, ...]:
        """Extents of the source."""
        return self._source.extents

    def writable(self, reach: Reach) -> None:
        """Return None, as no worker may write."""


class _ThroughTemporary(Output):
    """A source that is written after all tiles are done, from a temporary array, or a file if it is a file itself."""

    def __init__(self, given: GivenOutput) -> None:
        super().__init__(given.asked)
        self._source, self.given, self.units = given, given.given, given.units
        shape, stamps = tuple(given.array.shape), access_of(given.array).stamps()
        self._temporary: Output = NewOutput(shape, given.asked)
        if stamps is not None and given.array.dtype.kind in "biufc":  # this file is removed at the end
            self._temporary = FileOutput(prepare_sink(f"{stamps['path']}.npy", shape, overwrite=True), given.asked)

    @property
    def extents(self) -> tuple[Extent, ...]:
        """Extents of the source."""
        return self._source.extents

    def make(self, dtype: np.dtype[Any]) -> None:
        """Create the temporary array or file."""
        self._temporary.make(dtype)
        self.array = self._temporary.array

    def writable(self, reach: Reach) -> Any | None:
        """The temporary array in the form in which workers write into it; None if only this process can."""
        return self._temporary.writable(reach)

    def commit(self, run: dict[str, Any] | None) -> ReadableArray:
        """Copy the results into the source, and return the source."""
        array: Any = self._source.array
        array[...] = np.asarray(getattr(self.array, "target", self.array))
        self.discard()
        done: ReadableArray = array
        return done

    def discard(self) -> None:
        """Remove the temporary array or file."""
        self.array = None
        self._temporary.discard()
