"""Labels of a variable on disk: the names, coordinates and attributes that it can have, and how they are written."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tilecore.arrays.content import digest_of_array
from tilecore.arrays.foreign import is_of
from tilecore.errors import ParameterError, ParameterTypeError

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

__all__ = ["VariableLabels", "check_name", "packing", "plain_attributes", "stored_coordinates"]

# How values are packed; all else that a loaded variable brings (chunks, codecs) belongs to the file it came from.
_KEPT = ("scale_factor", "add_offset", "_FillValue", "missing_value", "dtype", "units", "calendar")

# Names of files that zarr has in the folder of a group.
_RESERVED = ("zarr.json", ".zgroup", ".zattrs", ".zarray", ".zmetadata", ".", "..")

# Attributes by which xarray would decode values, or take other variables for coordinates.
_DECODED = ("scale_factor", "add_offset", "_FillValue", "missing_value", "_Unsigned", "dtype", "coordinates")


def check_name(name: object, parameter: str) -> str:
    """The name of a variable, if a folder can have it.

    Raises
    ------
    ParameterError
        If it is empty or none, would lead elsewhere, or is that of a file of zarr.
    ParameterTypeError
        If it is no text.
    """
    if name is None or name == "":
        raise ParameterError.of(parameter, name, 'a variable needs a name, as by rename("name")')
    if not isinstance(name, str):
        raise ParameterTypeError.of(parameter, name, "the name of a variable must be text; rename it")
    if set(name) & {"/", "\\", "\0"} or name in _RESERVED:
        raise ParameterError.of(parameter, name, "it becomes the name of a folder, and cannot be that; rename it")
    return name


@dataclass(frozen=True)
class VariableLabels:
    """What is written beside the values of a variable.

    Attributes
    ----------
    dims : tuple of hashable
        Names of the axes.
    coords : Dataset or None
        The coordinates; None if there are none.
    attrs : mapping
        Attributes of the variable.
    is_time : bool
        Whether its values are dates or spans.
    """

    dims: tuple[Hashable, ...]
    coords: Dataset | None
    attrs: Mapping[Any, object]
    is_time: bool = False

    @classmethod
    def of(cls, var: DataArray) -> VariableLabels:
        """Those of a labelled array."""
        return cls(tuple(var.dims), var.coords.to_dataset(), var.attrs, var.dtype.kind in "mM")

    def check(self, name: str, parameter: str) -> None:
        """Refuse what a group of zarr cannot hold, or what would not be the same when it is read again.

        Parameters
        ----------
        name : str
            Name of the variable.
        parameter : str
            What the caller calls the variable, for messages.

        Raises
        ------
        ParameterError, ParameterTypeError
            If it is so.
        """
        for dim in self.dims:
            if not isinstance(dim, str):
                raise ParameterTypeError.of(f"dimension of {parameter}", dim, "its name must be text; rename it")
        coords = {} if self.coords is None else self.coords.coords
        if name in self.dims or name in coords:
            raise ParameterError.of(
                parameter, name, "a dimension or a coordinate has this name, too; rename one of them"
            )
        plain_attributes(self.attrs, parameter, is_time=self.is_time)
        indexes: Mapping[Any, object] = {} if self.coords is None else self.coords.xindexes
        for label, coordinate in coords.items():
            what = f"coordinate of {parameter}"
            check_name(label, what)
            if type(indexes.get(label)).__name__ == "PandasMultiIndex":
                remedy = f"it has several levels, which zarr cannot hold; take them apart by reset_index({label!r})"
                raise ParameterError.of(what, label, remedy)
            plain_attributes(coordinate.attrs, what, is_time=coordinate.dtype.kind in "mM")

    def text(self) -> str:
        """Text that differs where labels differ."""
        told: list[object] = [self.dims, sorted(plain_attributes(self.attrs, "out").items())]
        coords = {} if self.coords is None else self.coords.coords
        for name in sorted(coords, key=str):
            coordinate, values = coords[name], coords[name].values
            same = values.tolist() if values.dtype.hasobject else digest_of_array(values)
            told.append((name, coordinate.dims, values.dtype.str, same, sorted(coordinate.attrs.items(), key=str)))
        return repr(told)


def stored_coordinates(coords: Dataset, parameter: str) -> Dataset:
    """Coordinates as xarray can write them: in memory, Python's text as numpy's, and no trace of an earlier file.

    Raises
    ------
    ParameterError
        If one has other objects than text.
    """
    stored = coords.copy(deep=False).load()
    for name, coordinate in coords.coords.items():
        if coordinate.dtype.kind in "OT" and not _are_dates(stored[name].values):
            text = _as_text(stored[name].values)
            if text is None:
                remedy = "it has objects that are not text, which zarr cannot hold; make it text or numbers"
                raise ParameterError.of(f"coordinate of {parameter}", name, remedy)
            stored = stored.assign_coords({name: (coordinate.dims, text, coordinate.attrs)})
    for variable in stored.variables.values():
        variable.encoding = packing(variable.encoding)
    return stored


def plain_attributes(attributes: Mapping[Any, object], parameter: str, *, is_time: bool = False) -> dict[str, object]:
    """Attributes as values of JSON.

    Raises
    ------
    ParameterError
        If one has no such form, or would change how the values are read.
    """
    plain: dict[str, object] = {}
    for name, given in attributes.items():
        value = given.tolist() if isinstance(given, (np.ndarray, np.generic)) else given
        told = f"attribute of {parameter}"
        units = name == "units" and (is_time or " since " in str(value))
        if name in _DECODED or units or (is_time and name == "calendar"):
            remedy = "xarray would decode the values by it when they are read; remove it"
            raise ParameterError.of(told, {name: value}, remedy)
        if not isinstance(name, str) or not _is_json(value):
            raise ParameterError.of(told, {name: value}, "text, a number, or a list or dict of them is needed")
        plain[name] = value
    return plain


def packing(encoding: Mapping[Any, Any]) -> dict[Any, Any]:
    """What of an encoding tells how values are packed, and belongs to no single file."""
    kept = {name: encoding[name] for name in _KEPT if name in encoding}
    is_packed = any(name in kept for name in ("scale_factor", "add_offset", "units"))
    has_integers = np.dtype(kept.get("dtype", "f8")).kind in "iu" if kept.get("dtype") is not str else False
    if not is_packed and not (has_integers and ("_FillValue" in kept or "missing_value" in kept)):
        kept.pop("dtype", None)
    return kept


def _as_text(values: npt.NDArray[Any]) -> npt.NDArray[np.str_] | None:
    """Python's text as numpy's, which keeps its type on disk; None if there is anything else."""
    objects = np.asarray(values, dtype=object)
    if all(isinstance(each, str) for each in objects.ravel()):
        return objects.astype(str)
    return None


def _are_dates(values: npt.NDArray[Any]) -> bool:
    """Whether these are dates of other calendars, which xarray writes as numbers."""
    objects = np.asarray(values, dtype=object).ravel()
    return bool(objects.size) and all(is_of("cftime", each) for each in objects)


def _is_json(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_json, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_json(each) for key, each in value.items())
    return value is None or isinstance(value, (str, int, float))
