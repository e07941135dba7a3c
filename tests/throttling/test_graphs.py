"""Tests of changed graphs: their results stay."""

from __future__ import annotations

from operator import add
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from dask._task_spec import Alias, DataNode, Task, TaskRef
from hypothesis import given
from hypothesis import strategies as st

from tilecore.compat import minian

NAMES = ["load", "sum", "from-zarr-store", "getitem", "smooth_corr"]
PATTERNS = st.lists(st.sampled_from(["load", "sum", "zarr", "^get", "-[13]$", "."]), max_size=2)
NEW_NAMES = st.dictionaries(
    st.sampled_from(["load", "sum", "-", "[0-9]+", "zarr"]), st.sampled_from(["x", "load", "", "y-z"]), max_size=2
)


def double(value: int) -> int:
    return 2 * value


def combine(*values: int) -> int:
    return sum(values) * 3 + 1


@st.composite
def graphs(draw: st.DrawFn, old_style: bool) -> dict[Any, Any]:
    graph: dict[Any, Any] = {}
    for number in range(draw(st.integers(1, 9))):
        name = f"{draw(st.sampled_from(NAMES))}-{number}"
        key: Any = (name, number % 2) if draw(st.booleans()) else name
        sources = draw(st.lists(st.sampled_from(list(graph)), max_size=3)) if graph else []
        kind = draw(st.integers(0, 4))
        if not sources:
            graph[key] = number if old_style else DataNode(key, number)
        elif kind == 0:
            graph[key] = sources[0] if old_style else Alias(key, sources[0])
        elif kind == 1:
            graph[key] = (double, sources[0]) if old_style else Task(key, double, TaskRef(sources[0]))
        elif old_style:
            graph[key] = (sum, list(sources)) if kind == 2 else (combine, *sources)
        else:
            graph[key] = Task(key, combine, *(TaskRef(each) for each in sources))
    return graph


@given(st.data(), st.booleans(), PATTERNS, PATTERNS, NEW_NAMES, NEW_NAMES)
def test_results_never_change(
    data: st.DataObject,
    old_style: bool,
    inline: list[str],
    keep: list[str],
    rename: dict[str, str],
    rewrite: dict[str, str],
) -> None:
    graph = data.draw(graphs(old_style))
    keys = data.draw(st.lists(st.sampled_from(list(graph)), min_size=1, unique=True))
    before = dict(graph)
    expected = dask.get(graph, keys)
    options = {"inline_patterns": inline, "keep_patterns": keep, "rename_dict": rename, "rewrite_dict": rewrite}
    assert dask.get(minian.custom_arr_optimize(graph, keys, fast_funcs=[double], **options), keys) == expected
    assert dask.get(minian.custom_delay_optimize(graph, keys, [double], inline), keys) == expected
    for constants in (True, False):
        new = minian.inline_pattern(graph, inline, constants)
        left = [key for key in keys if key in new]
        assert dask.get(new, left) == dask.get(graph, left)
    assert graph == before


CHAIN = {"load-1": (double, 4), "sum-2": (add, "load-1", 3), "mean-3": (double, "sum-2")}


def test_options_change_the_graph() -> None:
    assert set(minian.custom_arr_optimize(CHAIN, ["mean-3"])) == {"load-sum-mean-3", "mean-3"}
    kept = minian.custom_arr_optimize(CHAIN, ["mean-3"], keep_patterns=["sum"])
    assert set(kept) == {"load-1", "sum-2", "mean-3"}
    inlined = minian.custom_arr_optimize(CHAIN, ["mean-3"], inline_patterns=["load", "sum"])
    assert set(inlined) == {"mean-3"}
    renamed = minian.custom_arr_optimize(CHAIN, ["mean-3"], rename_dict={"mean": "total"}, keep_patterns=["."])
    assert set(renamed) == {"load-1", "sum-2", "total-3", "mean-3"}
    assert isinstance(renamed["mean-3"], Alias)
    for name in ("rewrite_dict", "rename_dict"):
        rewritten = minian.custom_arr_optimize(CHAIN, "mean-3", **{name: {"load-sum": "x"}})
        assert set(rewritten) == {"x-mean-3", "mean-3"}


def test_constants_are_inlined_where_they_match_or_all_are_asked_for() -> None:
    graph = {"one": DataNode("one", 1), "two": DataNode("two", 2), "s": Task("s", add, TaskRef("one"), TaskRef("two"))}
    assert set(minian.inline_pattern(graph, ["one"], False)) == {"two", "s"}
    assert set(minian.inline_pattern(graph, [], True)) == {"s"}


def test_fast_functions_have_the_array_of_zarr() -> None:
    zarr = pytest.importorskip("zarr")
    assert zarr.Array in minian.FAST_FUNCTIONS
    names = [getattr(each, "__name__", "") for each in minian.FAST_FUNCTIONS]
    rest = ["astype", "concatenate_axes", "_vindex_merge"]
    assert names == ["getter_inline", "getter", "getitem", "Array", *rest]


def test_default_annotations_are_those_of_the_document() -> None:
    whole = ["est_motion_chunk", "from-zarr-store", "load_avi_ffmpeg", "merge_restricted", "smooth_corr"]
    whole += ["tensordot_restricted", "update_spatial_block", "update_temporal_block"]
    whole += ["vectorize_noise_fft", "vectorize_noise_welch"]
    half = ["ks_perseed", "pnr_perseed", "transform_perframe"]
    expected = {name: {"resources": {"MEM": 0.5 if name in half else 1}} for name in whole + half}
    assert expected == minian.ANNOTATIONS


def test_options_for_delayed_calls_change_the_graph() -> None:
    shared = CHAIN | {"last-4": (add, "load-1", "mean-3")}
    assert set(minian.custom_delay_optimize(shared, ["last-4"])) == {"load-1", "sum-mean-3", "mean-3", "last-4"}
    for options in ({"inline_patterns": ["load"]}, {"fast_functions": [double]}):
        found = minian.custom_delay_optimize(shared, ["last-4"], **options)  # type: ignore[arg-type]
        assert "load-1" not in found
        assert dask.get(found, "last-4") == dask.get(shared, "last-4")


def test_arrays_come_out_the_same() -> None:
    values = np.arange(400).reshape(20, 20)
    array = da.from_array(values, chunks=5)
    lazy = array.map_overlap(lambda block: block + 1, depth=1, boundary="reflect").rechunk((20, 4))[2:, ::2].T
    with dask.config.set(array_optimize=minian.custom_arr_optimize):
        assert np.array_equal(lazy.compute(), (values + 1)[2:, ::2].T)


def layer(array: da.Array, name: str, function: Any) -> da.Array:
    return array.map_blocks(function, name=name, dtype=float)


def blocks() -> da.Array:
    """Blockwise layers that dask fuses: load-1, smooth-2, then left-3 and right-4, which are added as total-5."""
    load = layer(da.ones((4, 4), chunks=2), "load-1", lambda block: np.arange(block.size).reshape(block.shape) + 0.5)
    smooth = layer(load, "smooth-2", np.square)
    both = layer(smooth, "left-3", np.negative), layer(smooth, "right-4", np.exp)
    return da.map_blocks(add, *both, name="total-5", dtype=float)


def optimized(array: da.Array, **options: Any) -> dict[str, set[type]]:
    """Kinds of tasks by name, after a check that each has four blocks, and of the values."""
    graph = minian.custom_arr_optimize(array.dask, array.__dask_keys__(), **options)
    new = da.Array(graph, array.name, array.chunks, array.dtype)
    np.testing.assert_array_equal(new.compute(scheduler="sync"), array.compute(scheduler="sync"))
    found: dict[str, list[type]] = {}
    for key, task in graph.items():
        if isinstance(key, tuple):
            found.setdefault(key[0], []).append(type(task))
    assert {len(kinds) for kinds in found.values()} == {4}
    return {name: set(kinds) for name, kinds in found.items()}


def test_layers_of_arrays_are_kept_inlined_and_renamed() -> None:
    """The options say which layers dask may not fuse, and what they are called."""
    alone = {Task}
    assert optimized(blocks()) == {"total-5": alone}
    assert optimized(blocks(), keep_patterns=["^smooth"]) == {"smooth-2": alone, "total-5": alone}
    kept = optimized(blocks(), keep_patterns=["^smooth", "right"])
    assert kept == {"smooth-2": alone, "right-4": alone, "total-5": alone}
    assert optimized(blocks(), keep_patterns=["."]).keys() >= {"load-1", "smooth-2", "left-3", "right-4", "total-5"}
    inlined = optimized(blocks(), keep_patterns=["load"], inline_patterns=["smooth"])
    assert inlined == {"load-1": alone, "total-5": alone}
    assert optimized(blocks(), inline_patterns=["load"], keep_patterns=["load"]).keys() == {"load-1", "total-5"}
    shared = optimized(blocks(), keep_patterns=["left", "right"])
    assert shared == {"smooth-2": alone, "left-3": alone, "right-4": alone, "total-5": alone}
    twice = optimized(blocks(), keep_patterns=["left", "right"], inline_patterns=["smooth"])
    assert twice == {"left-3": alone, "right-4": alone, "total-5": alone}
    renamed = optimized(blocks(), rename_dict={"smooth": "heavy"})
    assert renamed == {"heavy-total-5": alone, "total-5": {Alias}}
    renamed = optimized(blocks(), rename_dict={"smooth": "heavy"}, keep_patterns=["smooth"])
    assert renamed.keys() == {"heavy-2", "total-5"} and renamed["heavy-2"] == alone
    rewritten = optimized(blocks(), rewrite_dict={"total": "sum", "smooth": "never"})
    assert rewritten == {"sum-5": alone, "total-5": {Alias}}


def test_rechunked_tasks_have_the_restricted_name() -> None:
    array = xr.DataArray(np.arange(64).reshape(8, 8), dims=("frame", "width"), name="a").chunk(frame=1)
    new = minian.optimize_chunk(array, {"frame": 8, "width": 2})
    names = set(minian.unique_keys(new.data.dask))
    assert any("merge_restricted" in name for name in names)
    assert new.chunks == ((8,), (2, 2, 2, 2))
    xr.testing.assert_identical(new.compute(), array.compute())
