"""The function `concat_labelled`: arrays of several datasets, one after the other along new dimensions."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from tilecore.errors import NotSupportedError, ParameterError, ParameterTypeError
from tilecore.extras import need

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

__all__ = ["concat_labelled", "label_of", "value_order"]

#: The labels of one array, one for each dimension.
Labels: TypeAlias = tuple[Hashable, ...]


def concat_labelled(
    var: Mapping[Hashable, DataArray | Dataset] | Sequence[DataArray | Dataset], dims: str | Sequence[str]
) -> DataArray | Dataset:
    """Concatenate labelled arrays along one or several new dimensions.

    Parameters
    ----------
    var : dict or list of DataArray or Dataset
        A dict from labels, a tuple with one for each of `dims`, to arrays; or a list of arrays that have these labels
        as coordinates.
    dims : sequence of str
        Names of the new dimensions; they lead, in this order.

    Returns
    -------
    DataArray or Dataset
        Along one dimension in the order given, and of arrays an array. Along several a dataset whose labels are sorted
        by value, with NaN where there is no array.

    Raises
    ------
    NotSupportedError
        If `var` is neither a dict nor a list.
    ParameterError
        If it is empty, two arrays have the same labels, a label is missing, or an array has no name where a dataset is
        made.
    ParameterTypeError
        If something else than labelled arrays is given.

    Notes
    -----
    It is called ``xrconcat_recursive`` in `tilecore.compat.minian`. The ``NotSupportedError`` is also a
    ``NotImplementedError``.

    Examples
    --------
    >>> import numpy as np, xarray
    >>> from tilecore.datasets import concat_labelled
    >>> day = xarray.DataArray(np.zeros(3), dims="frame", name="C")
    >>> concat_labelled({("a", 9): day, ("a", 10): day + 1, ("b", 9): day + 2}, ["animal", "day"])["C"].shape
    (2, 2, 3)
    """
    need("a labelled dataset", "xarray", "xarray", "dask.array")
    names = [dims] if isinstance(dims, str) else list(dims)
    if not names:
        raise ParameterError.of("dims", dims, "at least one dimension is needed")
    pairs = _pairs(var, names)
    _check(pairs, names)
    if len(names) == 1:
        return _along([(labels[0], each) for labels, each in pairs], names[0])
    datasets = [(labels, _as_dataset(each)) for labels, each in pairs]
    result = _nested(datasets, names)  # joining has sorted the labels as text
    orders = {dim: value_order(each) for dim, each in zip(names, zip(*dict(pairs), strict=True), strict=True)}
    return result.sel(orders).transpose(*names, ...)


def label_of(each: DataArray | Dataset, dim: str, who: str) -> Hashable:
    """The label that an array has as a coordinate.

    Raises
    ------
    ParameterError
        If it has none, or several.
    """
    if dim not in each.coords or each.coords[dim].size != 1:
        what = "several labels" if dim in each.coords else "no label"
        raise ParameterError(f"{who} has {what} for {dim!r}: save it with meta_dict, or use update_metadata")
    label: Hashable = each.coords[dim].values.item()
    return label


def value_order(labels: Iterable[Hashable]) -> list[Hashable]:
    """Labels in the order of their values: numbers as such, and numbers in text as numbers, "9" before "10"."""
    return sorted(dict.fromkeys(labels), key=_key)


def _key(label: Hashable) -> tuple[object, ...]:
    if isinstance(label, (int, float, np.number)):
        return (0, float(label))
    parts = re.split(r"(\d+)", str(label))
    return (1, [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part], str(label))


def _pairs(
    var: Mapping[Hashable, DataArray | Dataset] | Sequence[DataArray | Dataset], names: list[str]
) -> list[tuple[Labels, DataArray | Dataset]]:
    if isinstance(var, Mapping):
        pairs = [(key if isinstance(key, tuple) else (key,), each) for key, each in var.items()]
        wrong = [key for key, _ in pairs if len(key) != len(names)]
        if wrong:
            raise ParameterError.of("var", wrong[0], f"a tuple with a label for each of {names} is needed")
        return pairs
    if not isinstance(var, (list, tuple)):
        raise NotSupportedError.of("var", type(var).__name__, "a dict or a list of arrays is needed")
    found: list[tuple[Labels, DataArray | Dataset]] = []
    for number, each in enumerate(var):
        if not hasattr(each, "coords"):
            raise ParameterTypeError.of("var", type(each).__name__, "labelled arrays of xarray are needed")
        found.append((tuple([label_of(each, dim, f"array {number} of var") for dim in names]), each))
    return found


def _check(pairs: Sequence[tuple[Labels, DataArray | Dataset]], names: Sequence[str]) -> None:
    if not pairs:
        raise ParameterError("var: it is empty; at least one array is needed")
    seen: set[Labels] = set()
    for labels, each in pairs:
        if not hasattr(each, "coords"):
            raise ParameterTypeError.of("var", type(each).__name__, "labelled arrays of xarray are needed")
        if labels in seen:
            raise ParameterError(f"var: two arrays have the labels {dict(zip(names, labels, strict=True))}")
        seen.add(labels)


def _as_dataset(each: DataArray | Dataset) -> Dataset:
    from xarray import DataArray

    if not isinstance(each, DataArray):
        return each
    if each.name is None:
        raise ParameterError("var: an array has no name, which a dataset needs; give it one by rename")
    return each.to_dataset()


def _along(pairs: Sequence[tuple[Hashable, DataArray | Dataset]], dim: str) -> DataArray | Dataset:
    """Concatenate in the order given, along a dimension that leads."""
    import xarray

    labelled: list[Any] = [each.drop_vars(dim, errors="ignore").assign_coords({dim: label}) for label, each in pairs]
    joined: DataArray | Dataset = xarray.concat(
        labelled, dim=dim, data_vars="all", coords="different", compat="equals", join="outer", combine_attrs="override"
    )
    return joined


def _nested(pairs: Sequence[tuple[Labels, Dataset]], names: Sequence[str]) -> DataArray | Dataset:
    groups = []
    for label in value_order(labels[0] for labels, _ in pairs):
        own = [(labels[1:], each) for labels, each in pairs if labels[0] == label]
        if len(names) > 1:
            groups.append((label, _nested(own, names[1:])))
        else:
            groups.append((label, own[0][1]))
    return _along(groups, names[0])
