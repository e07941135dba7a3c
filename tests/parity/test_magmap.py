"""Tests of the names of ``magmap.cv.chunking``, used as its callers do, with only the import changed."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.faults.harness import HANGS
from tilecore import ParameterError, settings
from tilecore.compat import magmap as chunking

SEED = {
    "SharedArr",
    "SharedArrsContainer",
    "get_mp_pool",
    "get_split_stack_total_shape",
    "init_shared_container",
    "is_fork",
    "merge_blobs",
    "merge_split_stack",
    "merge_split_stack2",
    "set_mp_start_method",
    "stack_splitter",
}


class StackDetector:
    """Detection in sub-ROIs by a class whose attributes forked processes inherit."""

    img: Any = None

    @classmethod
    def detect_sub_roi(cls, coord: Any, offset: Any, sub_roi_slices: Any) -> Any:
        img = cls.img if cls.img is not None else chunking.SharedArrsContainer.convert_shared_arr("img")
        sub_roi = img[sub_roi_slices]
        found = np.argwhere(sub_roi > 0.99).astype(float)
        if len(found) == 0:
            return coord, None
        return coord, np.hstack([found + offset, np.full((len(found), 1), 3.0)])


def test_every_name_of_the_seed_is_there() -> None:
    assert set(chunking.__all__) == SEED | {"configure"}
    assert all(hasattr(chunking, name) for name in chunking.__all__)


@pytest.mark.parametrize("overlap", [None, np.array([1, 1, 1]), np.array([0, 0, 2]), (2, 1, 0)])
def test_split_and_merge(overlap: Any) -> None:
    stack = np.arange(5 * 4 * 4 * 2).reshape((5, 4, 4, 2))
    max_pixels = np.array([2, 3, 2])
    sub_rois, offsets = chunking.stack_splitter(stack.shape, max_pixels, overlap)
    for z in range(sub_rois.shape[0]):
        for y in range(sub_rois.shape[1]):
            for x in range(sub_rois.shape[2]):
                coord = (z, y, x)
                np.testing.assert_array_equal(offsets[coord], np.multiply(coord, max_pixels))
                sub_rois[coord] = stack[sub_rois[coord]]
    merged = chunking.merge_split_stack(sub_rois, max_pixels, overlap)
    np.testing.assert_array_equal(merged, stack)
    shape = chunking.get_split_stack_total_shape(sub_rois, overlap)
    output = np.zeros((1, *shape), dtype=stack.dtype)
    chunking.merge_split_stack2(sub_rois, overlap, 1, output)
    np.testing.assert_array_equal(output[0], stack)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_detection_in_a_pool(method: str) -> None:
    """The blob pipeline works in a pool: shared image, one task per sub-ROI, and merged blobs."""
    img = np.random.default_rng(3).random((12, 20, 24))
    slices, offsets = chunking.stack_splitter(img.shape, (6, 10, 12), (2, 2, 2))
    before = multiprocessing.get_start_method(allow_none=True)
    try:
        multiprocessing.set_start_method(method, force=True)
        assert chunking.set_mp_start_method("telepathy") == method  # applied already
        assert chunking.is_fork() == (method == "fork")
        initializer, initargs = None, None
        if chunking.is_fork():
            StackDetector.img = img
        else:
            initializer, initargs = chunking.SharedArrsContainer.build_pool_init({"img": img})
        pool = chunking.get_mp_pool(initializer, initargs)
        results = [
            pool.apply_async(StackDetector.detect_sub_roi, args=(coord, offsets[coord], slices[coord]))
            for coord in np.ndindex(slices.shape)
        ]
        found = np.zeros(slices.shape, dtype=object)
        for result in results:
            coord, blobs = result.get(timeout=HANGS)
            found[coord] = blobs
        pool.close()
        pool.join()
    finally:
        StackDetector.img = None
        multiprocessing.set_start_method(before, force=True)
    merged = chunking.merge_blobs(found)
    assert merged.shape[1] == 4 + 3
    inside = {tuple(row) for row in np.argwhere(img > 0.99)}
    assert {tuple(row[:3].astype(int)) for row in merged} == inside
    for row in merged:
        own = slices[tuple(row[4:].astype(int))]
        assert all(axis.start <= place < axis.stop for axis, place in zip(own, row[:3], strict=True))
    assert len(merged) > len(inside)  # overlaps hold theirs once for each sub-ROI


def test_nothing_found_gives_none() -> None:
    rois = np.empty((1, 2, 2), dtype=object)
    assert chunking.merge_blobs(rois) is None
    rois[0, 0, 1] = np.empty((0, 5))
    assert chunking.merge_blobs(rois) is None


def test_columns_are_kept() -> None:
    rois = np.zeros((2, 1, 1), dtype=object)
    rois[0, 0, 0], rois[1, 0, 0] = np.arange(22.0).reshape(2, 11), np.arange(11.0)[np.newaxis]
    merged = chunking.merge_blobs(rois)
    np.testing.assert_array_equal(merged[:, :11], np.vstack([rois[0, 0, 0], rois[1, 0, 0]]))
    np.testing.assert_array_equal(merged[:, 11:], [[0, 0, 0], [0, 0, 0], [1, 0, 0]])


class Labels:
    """Data that forked processes inherit, as in MagellanMapper's ``MeasureLabelOverlap``."""

    image: Any = None

    @classmethod
    def count(cls, label: int) -> tuple[int, int]:
        image = cls.image if cls.image is not None else chunking.SharedArrsContainer.convert_shared_arr("image")
        return label, int((image == label).sum())


@pytest.fixture
def no_method(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As at the start of a program: nobody has set a start method."""
    before = multiprocessing.get_start_method(allow_none=True)
    monkeypatch.delenv("TILECORE_START_METHOD", raising=False)
    multiprocessing.set_start_method(None, force=True)
    with settings.override(workers=None, start_method=None, max_tasks=None):
        yield
    multiprocessing.set_start_method(before, force=True)


def config_of(cpus: int | None, profile: dict[str, Any] | None) -> Any:
    return SimpleNamespace(cpus=cpus, get_roi_profile=lambda i: profile)


def check_pool(method: str, processes: int, max_tasks: int | None) -> None:
    with chunking.get_mp_pool() as pool:
        found: Any = pool
        assert (found._ctx.get_start_method(), found._processes) == (method, processes)
        assert found._maxtasksperchild == max_tasks
        pool.terminate()
        pool.join()


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_settings_of_magellanmapper_are_taken(no_method: None, method: str) -> None:
    chunking.configure(config_of(3, {"mp_max_tasks": 5, "mp_start": method}))
    assert chunking.set_mp_start_method() == method  # MagellanMapper's own call, later
    assert chunking.is_fork() == (method == "fork")
    check_pool(method, 3, 5)
    chunking.configure(config_of(None, None))  # its command line says nothing
    check_pool(method, settings.resolve_workers(), None)


@pytest.mark.parametrize("cpus", [0, -1, 1.5, "two"])
def test_wrong_numbers_of_processes_are_refused(no_method: None, cpus: Any) -> None:
    with pytest.raises((ParameterError, TypeError), match="workers="):
        chunking.configure(config_of(cpus, None))


def test_the_package_itself_hands_over_its_settings(no_method: None) -> None:
    pytest.importorskip("magmap", reason="MagellanMapper is not among the packages for tests")
    from magmap.settings import config, roi_prof

    profile = roi_prof.ROIProfile()
    before = config.cpus, config.roi_profile, config.roi_profiles
    try:
        config.cpus, config.roi_profile, config.roi_profiles = 2, profile, [profile]
        profile["mp_max_tasks"] = 1
        chunking.configure(config)
        check_pool("fork", 2, 1)
    finally:
        config.cpus, config.roi_profile, config.roi_profiles = before


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere the platform's default is taken")
def test_functions_that_need_fork_have_it_where_python_has_another_default(
    no_method: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in Python 3.14, whose default on Linux is the fork server."""
    monkeypatch.setattr(multiprocessing, "get_all_start_methods", lambda: ["forkserver", "spawn", "fork"])
    monkeypatch.setattr(Labels, "image", np.array([1, 1, 2]))
    assert chunking.set_mp_start_method() == "fork"
    with chunking.get_mp_pool(processes=2) as pool:
        assert pool.map_async(Labels.count, [1, 2]).get(HANGS) == [(1, 2), (2, 1)]
        pool.close()
        pool.join()


def test_arrays_that_are_none_are_left_out() -> None:
    """As of ``measure_labels_metrics``, which has not always all of its images."""
    image = np.array([[1, 1], [2, 0]])
    initializer, initargs = chunking.SharedArrsContainer.build_pool_init({"image": image, "edges": None})
    assert set(initargs[1]) == {"image"}
    with chunking.get_mp_pool(initializer, initargs, processes=1, start_method="spawn") as pool:
        assert pool.map_async(Labels.count, [1]).get(HANGS) == [(1, 2)]
        edges = pool.apply_async(chunking.SharedArrsContainer.convert_shared_arr, ("edges",))
        assert edges.get(HANGS) is None
        pool.close()
        pool.join()
