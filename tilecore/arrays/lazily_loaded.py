"""Arrays of zarr behind lazily loaded arrays of xarray and dask, where these do nothing but read them.

Both libraries keep what they read in objects of their own. An array is found only if each of these objects is of a
class that is known here, and tells that nothing is decoded, indexed or computed. Whatever else there is, also in other
versions of these libraries, is read as before, through them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["stored_behind"]

# Objects of xarray that hand on what they hold as it is, unless `_is_plain` knows better.
_XARRAY = "xarray.core.indexing"
_HANDING_ON = ("MemoryCachedArray", "CopyOnWriteArray", "LazilyIndexedArray", "ImplicitToExplicitIndexingAdapter")


def stored_behind(array: object) -> object | None:
    """Find the array of zarr that a lazily loaded array shows as it is.

    Parameters
    ----------
    array : Variable or DataArray of xarray, or array of dask
        Any array of these libraries.

    Returns
    -------
    zarr.Array or None
        An array of the same shape and dtype, whose voxels are the same; None if there is none, or if it cannot be
        known.
    """
    lazy: Any = array
    held = getattr(getattr(lazy, "variable", lazy), "_data", lazy)
    if _is_one(held, "dask.array.core", "Array"):
        held = _read_by_dask(held)
    while _is_one(held, _XARRAY, *_HANDING_ON):
        if not _is_plain(held):
            return None
        held = getattr(held, "array", None)
    if _is_one(held, "xarray.backends.zarr", "ZarrArrayWrapper"):
        held = getattr(held, "_array", None)
    found: Any = held
    if not (_is_one(found, "zarr.core.array", "Array") and np.dtype(lazy.dtype).kind in "biufc"):
        return None
    same = tuple(found.shape) == tuple(lazy.shape) and np.dtype(found.dtype) == np.dtype(lazy.dtype)
    stored: object = found if same else None
    return stored


def _is_one(held: object, module: str, *names: str) -> bool:
    """Whether an object is of one of these classes itself, and of none that is derived from it."""
    return type(held).__module__ == module and type(held).__name__ in names


def _is_plain(held: object) -> bool:
    """Whether an object of xarray shows all voxels of what it holds, unchanged."""
    shown: Any = held
    if getattr(shown, "_copied", False):  # somebody has written into it
        return False
    if not hasattr(shown, "key"):
        return True
    lengths, items = tuple(shown.array.shape), tuple(shown.key.tuple)
    return len(items) == len(lengths) and all(
        isinstance(item, slice) and item.indices(length) == (0, length, 1)
        for item, length in zip(items, lengths, strict=True)
    )


def _read_by_dask(given: object) -> object | None:
    """What an array of dask reads blocks from; None if its graph does anything else."""
    array: Any = given
    layers: dict[str, Any] = getattr(array.dask, "layers", {})
    layer: Any = layers.get(array.name)
    if (
        len(layers) != 2
        or not _is_one(layer, "dask.blockwise", "Blockwise")
        or not _reads_its_blocks(layer, array.chunks)
    ):
        return None
    (other,) = [name for name in layers if name != array.name]
    if layer.indices[0][0] not in (other, _reference(other)):
        return None
    tasks = dict(layers[other])
    if list(tasks) != [other]:
        return None
    (task,) = tasks.values()
    held: object = task.value if _is_one(task, "dask._task_spec", "DataNode") else task
    return held


def _reads_its_blocks(given: object, chunks: tuple[tuple[int, ...], ...]) -> bool:
    """Whether the tasks of a layer cut blocks of these lengths out of one thing, at their own places."""
    layer: Any = given
    deps = list(layer.io_deps.values())
    reads = _is_one(deps[0], "dask.layers", "ArraySliceDep") if len(deps) == 1 else False
    task, indices = layer.task, layer.indices
    func = getattr(task, "func", None)
    return (
        reads
        and deps[0].chunks == chunks
        and getattr(func, "__module__", "") == "dask.array.core"
        and getattr(func, "__name__", "") in ("getter", "getter_nofancy", "getter_inline")
        and [str(getattr(each, "key", each)) for each in task.args[:2]] == [f"__dask_blockwise__{at}" for at in (0, 1)]
        and len(indices) == 2
        and indices[0][1] is None
        and indices[1][0] in layer.io_deps
        and tuple(indices[1][1]) == tuple(layer.output_indices)
        and not layer.new_axes
    )


def _reference(name: str) -> object:
    """How a layer of dask writes that it depends on a key."""
    from dask._task_spec import TaskRef

    return TaskRef(name)
