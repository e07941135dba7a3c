"""What a variable looks like on disk: its name, its text, and which encodings of an earlier file it keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tilecore.errors import ParameterError, ParameterTypeError

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

__all__ = ["as_stored", "check_name", "with_metadata"]

# How values are packed; all else that a loaded variable brings (chunks, codecs) belongs to the file it came from.
_KEPT = ("scale_factor", "add_offset", "_FillValue", "missing_value", "dtype", "units", "calendar")

# Names of files that zarr has in the folder of a group.
_RESERVED = ("zarr.json", ".zgroup", ".zattrs", ".zarray", ".zmetadata", ".", "..")


def check_name(var: DataArray) -> str:
    """The name of a variable, if a folder can have it.

    Raises
    ------
    ParameterError
        If it has none, or one that would lead elsewhere, or that is one of its dimensions or coordinates.
    ParameterTypeError
        If it is no text.
    """
    name = var.name
    if name is None or name == "":
        raise ParameterError.of("var", name, 'the variable has no name; give it one by var.rename("name")')
    if not isinstance(name, str):
        raise ParameterTypeError.of("var", name, "its name is no text; give it another one by var.rename")
    if "/" in name or "\\" in name or "\0" in name or name in _RESERVED:
        raise ParameterError.of("var", name, "its name cannot be that of a folder; give it another one by var.rename")
    if name in var.dims or name in var.coords:
        raise ParameterError.of("var", name, "its name is also that of a dimension or coordinate; rename one of them")
    return name


def with_metadata(var: DataArray, metadata: Mapping[str, str]) -> DataArray:
    """The variable with metadata as coordinates.

    Raises
    ------
    ParameterError
        If a name is one of a dimension, or that of the variable.
    """
    for name in metadata:
        if name in var.dims or name == var.name:
            what = "a dimension" if name in var.dims else "the variable itself"
            raise ParameterError.of("meta_dict", name, f"this is the name of {what}; choose another one")
    return var.assign_coords(dict(metadata)) if metadata else var


def as_stored(var: DataArray) -> Dataset:
    """The variable as a dataset that xarray can write: coordinates in memory, and no trace of an earlier file."""
    stored = var.copy(deep=False)
    for name in list(stored.coords):
        coordinate = (
            stored.coords[name].variable.load() if name not in stored.xindexes else stored.coords[name].variable
        )
        if coordinate.dtype.kind in "OT":
            text = _as_text(coordinate.values)
            if text is not None:
                stored = stored.assign_coords({name: (coordinate.dims, text, coordinate.attrs)})
    whole = stored.to_dataset(name=str(var.name))
    for variable in whole.variables.values():
        variable.encoding = _packing(variable.encoding)
    return whole


def _as_text(values: npt.NDArray[Any]) -> npt.NDArray[np.str_] | None:
    """Python's text as numpy's, which keeps its type on disk; None if there is anything else."""
    objects = np.asarray(values, dtype=object)
    if all(isinstance(each, str) for each in objects.ravel()):
        return objects.astype(str)
    return None


def _packing(encoding: Mapping[Any, Any]) -> dict[Any, Any]:
    kept = {name: encoding[name] for name in _KEPT if name in encoding}
    is_packed = any(name in kept for name in ("scale_factor", "add_offset", "units"))
    has_integers = np.dtype(kept.get("dtype", "f8")).kind in "iu" if kept.get("dtype") is not str else False
    if not is_packed and not (has_integers and ("_FillValue" in kept or "missing_value" in kept)):
        kept.pop("dtype", None)
    return kept
