"""Names of axes: parameters that name them, and results that keep the labels of their source."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from tilecore.array_types import OneSource
from tilecore.arrays.foreign import is_labelled
from tilecore.errors import ParameterError, ParameterTypeError
from tilecore.formats.labels import told_axes
from tilecore.formats.named_chunks import check_dimension
from tilecore.formats.zarr.variable_labels import VariableLabels
from tilecore.geometry.per_axis import HaloLike, TileShapeLike
from tilecore.geometry.placement import Placement, ScaleLike

if TYPE_CHECKING:
    from xarray import Dataset

__all__ = [
    "AxesByName",
    "HaloByName",
    "Labels",
    "NewAxes",
    "ScaleByName",
    "TileShapeByName",
    "axes_by_name",
    "check_labels",
    "names_of",
    "names_of_result",
    "new_axes_by_name",
    "values_by_name",
]

#: A halo as verbs take it: also by the names of axes.
HaloByName: TypeAlias = HaloLike | Mapping[str, int | tuple[int, int]]
#: The shape of a tile as verbs take it: also by the names of axes, where -1 is the whole axis.
TileShapeByName: TypeAlias = TileShapeLike | Mapping[str, int | None]
#: A scale as `map_tiles` takes it: also by the names of axes.
ScaleByName: TypeAlias = ScaleLike | Mapping[str, float | Fraction]
#: Axes by number or name.
AxesByName: TypeAlias = int | str | Sequence[int | str]
#: Lengths of new axes by position or name.
NewAxes: TypeAlias = Mapping[int, int] | Mapping[str, int]


def names_of(source: OneSource, opened: object) -> tuple[str, ...]:
    """Names of a source's axes: its dimensions, or those that its file tells, in small letters; none if unknown."""
    labelled: Any = source
    if is_labelled(source):
        return tuple([str(name) for name in labelled.dims])
    return tuple((told_axes(opened) or "").lower())


def names_of_result(
    names: Sequence[Hashable], placement: Placement, leading: Sequence[str] = ()
) -> tuple[Hashable, ...]:
    """Names of the axes of a result, some of new ones that lead; one without a name is called dim_0 if it is first."""
    known: list[Hashable] = [*names] or [None] * len(placement.scale)
    known = [name for axis, name in enumerate(known) if axis not in placement.dropped]
    for position, _ in placement.added:
        known.insert(position, leading[position] if position < len(leading) else None)
    for position, name in enumerate(known):
        fresh = f"dim_{position}"
        while name is None and fresh in known:
            fresh = f"{fresh}_new"
        known[position] = fresh if name is None else name
    return tuple(known)


def values_by_name(values: object, names: Sequence[str], parameter: str, rest: object) -> object:
    """Values for each axis of what a caller gives by names of axes, with `rest` for others; other values as they are.

    Raises
    ------
    ParameterError, ParameterTypeError
        If the source does not name its axes, or has no such axis.
    """
    if not isinstance(values, Mapping):
        return values
    for name in values:
        _check_name(name, names, parameter, values)
    return [values.get(name, rest) for name in names]


def axes_by_name(axes: AxesByName, names: Sequence[str], parameter: str) -> list[int]:
    """Numbers of axes that a caller gives by number or name.

    Raises
    ------
    ParameterError, ParameterTypeError
        If the source does not name its axes, or has no such axis.
    """
    listed = [axes] if isinstance(axes, str) or not isinstance(axes, Iterable) else list(axes)
    for axis in listed:
        if isinstance(axis, str):
            _check_name(axis, names, parameter, axes)
    return [list(names).index(axis) if isinstance(axis, str) else axis for axis in listed]


def new_axes_by_name(new_axis: NewAxes | None, source: object) -> tuple[Mapping[int, int] | None, tuple[str, ...]]:
    """Lengths of new axes by position, and their names if a caller gives these: then they lead, in the order given.

    Raises
    ------
    ParameterError, ParameterTypeError
        If the source has no labels, or has one of these names.
    """
    given: Any = new_axis
    if not isinstance(given, Mapping) or not any(isinstance(name, str) for name in given):
        return given, ()
    first: Any = source[0] if isinstance(source, (list, tuple)) else source
    if not is_labelled(first) or not all(isinstance(name, str) for name in given):
        raise ParameterTypeError.of(
            "new_axis", new_axis, "positions are needed, or names for all new axes of an array of xarray"
        )
    for name in given:
        if name in first.dims or name in getattr(first, "coords", ()):
            raise ParameterError.of("new_axis", name, "the source has this name already; choose another one")
    return dict(enumerate(given.values())), tuple(given)


def _check_name(name: object, names: Sequence[str], parameter: str, given: object) -> None:
    if not names:
        raise ParameterTypeError.of(
            parameter, given, "the source does not name its axes; give a number for each, or an array of xarray"
        )
    check_dimension(name, names, parameter)


def check_labels(sources: Sequence[OneSource]) -> None:
    """Refuse labelled sources whose common dimensions stand at other places, or have other labels.

    Raises
    ------
    ParameterError
        If their voxels would be mixed up.
    """
    labelled: list[Any] = [source for source in sources if is_labelled(source)]
    for other in labelled[1:]:
        first, second = [list(map(str, each.dims)) for each in (labelled[0], other)]
        for name in {*first} & {*second}:
            if first.index(name) != second.index(name):
                raise ParameterError(f"source: the dimensions {first} and {second} are in another order; transpose one")
            mine, its = [getattr(each, "indexes", {}).get(name) for each in (labelled[0], other)]
            if mine is not None and its is not None and not mine.equals(its):
                raise ParameterError(f"source: the labels along {name!r} differ; xarray.align gives sources that agree")


@dataclass(frozen=True)
class Labels:
    """Labels of results: those of the source that are still true.

    Attributes
    ----------
    source : DataArray or Variable
        The source, or the first of several.
    placement : Placement
        Position of results in the output.
    leading : tuple of str
        Names of new axes; those that have names lead.
    """

    source: Any
    placement: Placement
    leading: tuple[str, ...] = ()

    @classmethod
    def of(cls, source: object, placement: Placement, leading: tuple[str, ...] = ()) -> Self | None:
        """Labels of the first source; None if it has none."""
        first: Any = source[0] if isinstance(source, (list, tuple)) else source
        return cls(first, placement, leading) if is_labelled(first) else None

    @property
    def dims(self) -> tuple[Hashable, ...]:
        """Names of the axes of a result."""
        return names_of_result(self.source.dims, self.placement, self.leading)

    def coords(self) -> Dataset | None:
        """Coordinates of a result, as they are in the source: those along no axis that was dropped or scaled.

        None if the source has none, as it is a Variable.
        """
        if not hasattr(self.source, "coords"):
            return None
        scale, dropped = self.placement.scale, self.placement.dropped
        changed = {name for axis, name in enumerate(self.source.dims) if axis in dropped or scale[axis] != 1}
        kept: Dataset = self.source.coords.to_dataset()
        gone = {name for name, variable in kept.variables.items() if changed & set(variable.dims)}
        for name in tuple(gone):  # an index of several coordinates holds all of them or none
            gone |= set(kept.xindexes.get_all_coords(name, errors="ignore"))
        return kept.drop_vars(gone)

    def to_be_written(self) -> VariableLabels:
        """Those that are written beside a result."""
        return VariableLabels(self.dims, self.coords(), dict(self.source.attrs))

    def check_out(self, out: object) -> None:
        """Refuse a labelled array as output whose dimensions are not those of the result.

        Raises
        ------
        ParameterError
            If it is so.
        """
        given: Any = out
        if is_labelled(out) and tuple(given.dims) != self.dims:
            raise ParameterError.of("out", tuple(given.dims), f"the result has the dimensions {self.dims}")

    def on(self, values: object) -> object:
        """Give a result its labels."""
        source, coords, result = self.source, self.coords(), None
        if coords is None:
            result = type(source.to_base_variable())(self.dims, values, dict(source.attrs))
        else:
            result = type(source)(values, coords.coords, self.dims, source.name, dict(source.attrs))
        return result

    def on_new(self, result: object, out: object) -> object:
        """Give the results that are new arrays their labels; others are what the caller gave."""
        if not isinstance(result, tuple):
            return self.on(result) if out is None else result
        outs = list(out) if isinstance(out, (list, tuple)) else [out]
        outs *= len(result) if len(outs) == 1 else 1
        return tuple([self.on(value) if each is None else value for value, each in zip(result, outs, strict=True)])
