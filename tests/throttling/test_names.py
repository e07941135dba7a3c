"""Tests of names of tasks."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tilecore.compat import minian


def test_dashed_name_of_the_annotations_is_kept() -> None:
    assert minian.split_key(("mean-from-zarr-store-1f", 0)) == "from-zarr-store"


def test_parts_are_kept_renamed_or_the_first_one_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(minian.ANNOTATIONS, "slow", {"priority": 1})
    assert minian.split_key("a-slow-smooth_corr-b") == "slow-smooth_corr"
    assert minian.split_key("a-b", {"b": "slow"}) == "slow"
    assert minian.split_key("sum-b", {"sum": "x", "su": "y"}) == "x"


def test_keys_are_rewritten_in_order() -> None:
    assert minian.rewrite_key(("aXa", "a"), {"a": "b", "b": "c"}) == ("cXc", "a")
    for bad in (3, (), (1, "a")):
        with pytest.raises(ValueError, match="must be a text"):
            minian.rewrite_key(bad, {})


def test_fused_name_holds_the_others_once() -> None:
    chain = ["load-1", ("smooth_corr-2", 0), ("load-3", 1), ("sum-4", 5)]
    assert minian.custom_fused_keys_renamer(chain) == ("load-smooth_corr-sum-4", 5)
    assert minian.custom_fused_keys_renamer(["sum-1", "sum-2"]) == "sum-2"
    assert minian.custom_fused_keys_renamer(["a-1", "b-2"], rename_dict={"b": "c"}) == "a-c-2"


def test_long_name_is_cut_alike_in_each_process() -> None:
    code = "from tilecore.compat.minian import *; print(custom_fused_keys_renamer(['a' * 90 + '-1', 'b' * 90]))"
    names = set()
    for seed in "12":
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        names.add(subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True).stdout)
    (name,) = names
    assert len(name.strip()) == 120
    assert len(minian.custom_fused_keys_renamer(["a" * 90, "b" * 90], 0)) == 181


def test_keys_are_found_by_pattern() -> None:
    keys = ["x-1", ("load-2", 0), 7, "reload"]
    assert minian.get_keys_pat("load", keys, return_all=True) == [("load-2", 0), "reload"]
    with pytest.raises(IndexError):
        minian.get_keys_pat("none", keys)
    assert minian.unique_keys([*keys, ("load-2", 1), ("x-1", 1)]).tolist() == [
        "chunked-load-2",
        "chunked-x-1",
        "reload",
        "x-1",
    ]


def test_importing_changes_no_setting_of_dask() -> None:
    code = (
        "import copy, dask, dask.array, distributed, os; before = copy.deepcopy(dask.config.config), dict(os.environ)\n"
        "from tilecore.compat.minian import *; import tilecore.throttling.throttle\n"
        "assert before == (dask.config.config, dict(os.environ))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
