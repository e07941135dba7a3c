"""Optimisation of graphs of dask that knows names of tasks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from tilecore.extras import need
from tilecore.throttling.graphs import Graph, fuse_chains, inline_keys, matching, rename_keys
from tilecore.throttling.names import rewrite_key

need("throttling", "dask", "dask.array", "distributed")

import dask.array as da  # noqa: E402
import zarr  # noqa: E402
from dask._task_spec import Task, convert_legacy_graph, cull  # noqa: E402
from dask.array.chunk import astype, getitem  # noqa: E402
from dask.array.core import _vindex_merge, concatenate_axes, getter, getter_inline  # noqa: E402
from dask.blockwise import fuse_roots, optimize_blockwise  # noqa: E402
from dask.core import flatten  # noqa: E402
from dask.highlevelgraph import HighLevelGraph  # noqa: E402
from dask.typing import Key  # noqa: E402

if TYPE_CHECKING:
    from xarray import DataArray

__all__ = ["FAST_FUNCTIONS", "custom_arr_optimize", "custom_delay_optimize", "optimize_chunk"]

#: Functions that take so little time that they are inlined into the tasks that use them.
FAST_FUNCTIONS: list[Callable[..., object]] = [
    getter_inline,
    getter,
    getitem,
    zarr.Array,
    astype,
    concatenate_axes,
    _vindex_merge,
]


def custom_arr_optimize(
    dsk: Mapping[Key, object],
    keys: Key | Sequence[Key],
    fast_funcs: Sequence[Callable[..., object]] | None = None,
    inline_patterns: Iterable[str] | None = None,
    rename_dict: Mapping[str, str] | None = None,
    rewrite_dict: Mapping[str, str] | None = None,
    keep_patterns: Iterable[str] | None = None,
    **kwargs: object,  # noqa: ARG001 - dask's interface
) -> Graph:
    """Optimise a graph of arrays, with tasks inlined, kept and renamed by their names.

    Parameters
    ----------
    dsk : mapping
        Graph of dask; it stays as it is.
    keys : key or sequence of keys
        Keys whose results are wanted.
    fast_funcs : sequence of callables, optional
        Functions whose tasks are inlined. By default `FAST_FUNCTIONS`.
    inline_patterns : iterable of str, optional
        Regular expressions: tasks whose names match are inlined.
    rename_dict : mapping of str to str, optional
        New names by regular expression, given before tasks are fused: so those inside fused tasks have them, too. What
        matches no name before is given at the end, as `rewrite_dict` is.
    rewrite_dict : mapping of str to str, optional
        New names by regular expression, given at the end.
    keep_patterns : iterable of str, optional
        Regular expressions: tasks whose names match are neither fused nor inlined.
    **kwargs
        Whatever else dask passes to an optimiser; not used.

    Returns
    -------
    dict
        The new graph. Wanted keys that were renamed are aliases of their new names.

    Examples
    --------
    >>> import dask.array as da
    >>> ones = da.ones((4,), chunks=2) + 1
    >>> graph = custom_arr_optimize(ones.dask, ones.__dask_keys__(), rewrite_dict={"add": "plus"})
    >>> da.Array(graph, ones.name, ones.chunks, ones.dtype).compute().tolist()
    [2.0, 2.0, 2.0, 2.0]
    """
    wanted = _wanted(keys)
    keep_patterns, inline_patterns = list(keep_patterns or ()), list(inline_patterns or ())
    if isinstance(dsk, HighLevelGraph):
        names = [(name,) for name in matching([*keep_patterns, *inline_patterns, *(rename_dict or ())], dsk.layers)]
        dsk = fuse_roots(optimize_blockwise(dsk, keys=[*wanted, *names]), keys=[*wanted, *names])  # type: ignore[no-untyped-call]
    graph = _culled(dsk, wanted)
    kept = matching(keep_patterns, graph)
    fast = FAST_FUNCTIONS if fast_funcs is None else fast_funcs
    graph = _inlined(graph, wanted, fast, inline_patterns, kept)
    before = set(graph)
    graph = rename_keys(graph, rename_dict, wanted)
    kept |= {rewrite_key(key, rename_dict or {}) for key in kept}
    kept |= matching(keep_patterns, graph.keys() - before)
    graph = fuse_chains(graph, wanted, kept)
    late = {pattern: name for pattern, name in (rename_dict or {}).items() if not matching([pattern], before)}
    return rename_keys(graph, {**late, **(rewrite_dict or {})}, wanted)


def custom_delay_optimize(
    dsk: Mapping[Key, object],
    keys: Key | Sequence[Key],
    fast_functions: Sequence[Callable[..., object]] | None = None,
    inline_patterns: Iterable[str] | None = None,
    **kwargs: object,  # noqa: ARG001 - dask's interface
) -> Graph:
    """Optimise a graph of delayed calls: by default chains are fused, and no more.

    Parameters
    ----------
    dsk : mapping
        Graph of dask; it stays as it is.
    keys : key or sequence of keys
        Keys whose results are wanted.
    fast_functions : sequence of callables, optional
        Functions whose tasks are inlined; by default none.
    inline_patterns : iterable of str, optional
        Regular expressions: tasks whose names match are inlined.
    **kwargs
        Whatever else dask passes to an optimiser; not used.

    Returns
    -------
    dict
        The new graph.

    Examples
    --------
    >>> from operator import add
    >>> graph = custom_delay_optimize({"load": (add, 1, 2), "sum": (add, "load", 3)}, ["sum"])
    >>> sorted(graph)
    ['load-sum', 'sum']
    """
    wanted = _wanted(keys)
    graph = _inlined(_culled(dsk, wanted), wanted, fast_functions or (), inline_patterns, ())
    return fuse_chains(graph, wanted, ())


def optimize_chunk(arr: DataArray, chk: Mapping[str, int]) -> DataArray:
    """Rechunk a labelled array so that the tasks which hold whole new chunks can be throttled.

    Parameters
    ----------
    arr : xarray.DataArray
        The array.
    chk : mapping of str to int
        Lengths of chunks by dimension.

    Returns
    -------
    xarray.DataArray
        The array in these chunks. Tasks that dask calls ``rechunk-merge`` are called ``merge_restricted``, which
        `ANNOTATIONS` has.

    Examples
    --------
    >>> import xarray as xr
    >>> array = xr.DataArray([1, 2, 3, 4], dims="frame").chunk(frame=1)
    >>> optimize_chunk(array, {"frame": 2}).chunks
    ((2, 2),)
    """
    chunked = arr.chunk(chk)
    data = chunked.data
    wanted = _wanted(data.__dask_keys__())
    graph = rename_keys(_culled(data.dask, wanted), {"rechunk-merge": "merge_restricted"}, wanted)
    new = da.Array(graph, data.name, data.chunks, dtype=data.dtype, meta=data._meta)  # type: ignore[no-untyped-call]
    return chunked.copy(data=new)


def _wanted(keys: Key | Sequence[Key]) -> set[Key]:
    return set(flatten(keys if isinstance(keys, (list, set)) else [keys], container=(list, set)))  # type: ignore[no-untyped-call]


def _culled(dsk: Mapping[Key, object], wanted: Collection[Key]) -> Graph:
    graph: Graph = cull(convert_legacy_graph(dict(dsk)), wanted)
    return graph


def _inlined(
    graph: Graph,
    wanted: Collection[Key],
    fast: Sequence[Callable[..., object]],
    patterns: Iterable[str] | None,
    kept: Collection[Key],
) -> Graph:
    chosen = matching(patterns, graph)
    chosen |= {key for key, node in graph.items() if isinstance(node, Task) and node.func in fast}
    return inline_keys(graph, {key for key in chosen if key not in kept and key not in wanted})
