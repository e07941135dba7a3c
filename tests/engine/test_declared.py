"""Tests of declarations: every verb reads them, and values of the caller are used first."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from scipy.ndimage import gaussian_filter, maximum_filter

from tilecore import (
    ParameterError,
    ParameterTypeError,
    collect_tiles,
    declare,
    detect_blobs,
    iter_tiles,
    map_tiles,
    reduce_tiles,
)
from tilecore.engine.declared import Declared
from tilecore.engine.events import Event, RunStarted

VOLUME = np.random.default_rng(5).random((13, 17, 11))
SERIAL: dict[str, Any] = {"executor": "serial", "progress": False, "tile_shape": 4}


@declare(halo=lambda width=2: width, boundary="reflect", dtype="f4")
def widen(block: Any, width: int = 2) -> Any:
    """Maximum of the neighbourhood, inside the block."""
    return maximum_filter(block, 2 * width + 1)[(slice(width, -width),) * block.ndim]


def expected(width: int) -> Any:
    return widen(np.pad(VOLUME, width, mode="reflect"), width)


class Smoother:
    """Callable object whose own attributes look like declarations."""

    def __init__(self, sigma: float) -> None:
        self.sigma, self.scale, self.dtype, self.name = sigma, 3, "u1", "mine"

    def __call__(self, block: Any) -> Any:
        return gaussian_filter(block, self.sigma)


class SmootherThatSays(Smoother):
    @declare(halo=lambda self: int(4 * self.sigma + 0.5), dtype="f4")
    def __call__(self, block: Any) -> Any:
        return super().__call__(block)


class SmootherWithProperty(Smoother):
    @property
    def halo(self) -> int:
        return int(4 * self.sigma + 0.5)


def test_a_declared_function_is_exact_with_no_further_word() -> None:
    for width in (1, 2, 3):
        got = map_tiles(widen, VOLUME, kwargs={"width": width}, **SERIAL)
        assert got.dtype == np.float32
        np.testing.assert_array_equal(got, expected(width).astype("f4"))
    partial = functools.partial(widen, width=3)
    np.testing.assert_array_equal(map_tiles(partial, VOLUME, **SERIAL), expected(3).astype("f4"))


def test_the_caller_comes_first() -> None:
    got = map_tiles(widen, VOLUME, dtype="f8", boundary="edge", **SERIAL)
    np.testing.assert_array_equal(got, widen(np.pad(VOLUME, 2, mode="edge"), 2))
    with pytest.raises(Exception, match="shape"):
        map_tiles(widen, VOLUME, halo=1, **{**SERIAL, "retries": 0})  # nothing is left of its blocks


@pytest.mark.parametrize("verb", ["collect", "iter", "reduce"])
def test_other_verbs_hear_it_too(verb: str) -> None:
    @declare(halo=2, boundary="wrap", scale=1 / 2, dtype="u1")
    def shape_of(block: Any) -> tuple[int, ...]:
        return tuple(block.shape)

    if verb == "collect":
        shapes = collect_tiles(shape_of, VOLUME, **SERIAL)
    elif verb == "iter":
        shapes = [shape for _, shape in iter_tiles(shape_of, VOLUME, **SERIAL)]
    else:
        shapes = reduce_tiles(shape_of, lambda total, shape: [*total, shape], VOLUME, initial=[], **SERIAL)
    assert len(shapes) == 4 * 5 * 3 and shapes[0] == (8, 8, 8) and (1 + 4, 1 + 4, 3 + 4) in shapes


def test_declared_scale() -> None:
    @declare(scale=1 / 2)
    def every_other(block: Any) -> Any:
        return block[::2, ::2, ::2]

    np.testing.assert_array_equal(map_tiles(every_other, VOLUME, **SERIAL), VOLUME[::2, ::2, ::2])
    np.testing.assert_array_equal(map_tiles(every_other, VOLUME, scale=0.5, **SERIAL), VOLUME[::2, ::2, ::2])


def test_a_declared_dtype_is_that_of_new_outputs() -> None:
    out = np.empty(VOLUME.shape, "f8")
    assert map_tiles(widen, VOLUME, out=out, **SERIAL) is out
    np.testing.assert_array_equal(out, expected(2))

    @declare(dtype=("f4", "i2"))
    def both(block: Any) -> Any:
        return block, np.rint(100 * block)

    first, second = map_tiles(both, VOLUME, **SERIAL)
    assert (first.dtype, second.dtype) == (np.float32, np.int16)


@pytest.mark.parametrize("kind", [SmootherThatSays, SmootherWithProperty])
def test_objects_that_are_called(kind: Callable[[float], Any]) -> None:
    got = map_tiles(kind(0.6), VOLUME, **SERIAL)
    assert got.dtype == (np.float32 if kind is SmootherThatSays else np.float64)
    np.testing.assert_array_equal(got, gaussian_filter(VOLUME, 0.6).astype(got.dtype))


def test_attributes_that_an_object_has_for_itself_declare_nothing() -> None:
    assert Declared.of(Smoother(0.5)) == Declared(name="Smoother")
    assert map_tiles(Smoother(0), VOLUME, **SERIAL).dtype == np.float64
    for function in (np.sqrt, np.float32, print, len, Smoother):
        declared = Declared.of(function)
        assert declared == Declared(name=declared.name), function


def test_declared_objects_and_attributes_set_by_hand() -> None:
    smoother = declare(halo=3, dtype="f4", name="fine")(Smoother(0.5))
    assert Declared.of(smoother) == Declared(halo=3, dtype="f4", name="fine")
    assert Declared.of(Smoother(0.5).__call__) == Declared(name="__call__")

    def plain(block: Any) -> Any:
        return block

    plain.halo, plain.dtype = (lambda width: [width, 0, 0]), np.float32  # type: ignore[attr-defined]
    assert Declared.of(plain, {"width": 4}) == Declared(halo=[4, 0, 0], dtype=np.float32, name="plain")

    @functools.wraps(plain)
    def wrapper(*blocks: Any) -> Any:
        return plain(*blocks)

    assert Declared.of(declare(name="outer")(wrapper), {"width": 1}).halo == [1, 0, 0]
    declare(boundary=0)(wrapper)
    assert Declared.of(wrapper, {"width": 1}).name == "outer"


def test_declared_memory_bounds_the_tiles_that_are_worked_on_at_once(tmp_path: Path) -> None:
    """Where a call is too small a part of the run to be tried out, the declaration takes the place of a guess."""
    zarr.create_array(tmp_path / "x.zarr", data=np.ones((8, 32, 32), "u1"), chunks=(1, 32, 32))
    options: dict[str, Any] = {"tile_shape": (8, 16, 16), "max_memory": 4 * 2048 * 30, "workers": 4, "progress": False}

    def workers_for(needed: float | None) -> int:
        events: list[Event] = []
        function = declare(bytes_per_voxel=lambda: needed)(lambda block: block)
        map_tiles(function, tmp_path / "x.zarr", executor="threads", callbacks=[events.append], **options)
        return next(event.workers for event in events if isinstance(event, RunStarted))

    assert [workers_for(needed) for needed in (50, 10)] == [2, 4]


@pytest.mark.parametrize("needed", [0, -1, float("nan"), float("inf"), "2MB"])
def test_declared_memory_is_a_number_above_0(needed: Any) -> None:
    with pytest.raises(ParameterError, match="bytes_per_voxel"):
        Declared.of(declare(bytes_per_voxel=needed)(lambda block: block))


def test_what_cannot_be_declared() -> None:
    with pytest.raises(TypeError, match="overlap"):
        declare(overlap=3)  # type: ignore[call-arg]
    with pytest.raises(ParameterTypeError, match="cannot be stored"):
        declare(halo=3)(len)
    with pytest.raises(ParameterError, match="the halo that widen declares cannot be computed for .*'sigma': 3"):
        map_tiles(widen, VOLUME, kwargs={"sigma": 3}, **SERIAL)
    with pytest.raises(ParameterError, match="boundary='mirror'"):
        map_tiles(declare(boundary="mirror")(lambda block: block), VOLUME, **SERIAL)
    with pytest.raises(ParameterError, match="halo='wide'"):
        map_tiles(declare(halo="wide")(lambda block: block), VOLUME, **SERIAL)


@pytest.mark.parametrize("boundary", [None, "wrap", 0.0])
@pytest.mark.parametrize("with_mask", [False, True])
def test_detectors_declare_in_the_same_way(boundary: Any, with_mask: bool) -> None:
    @declare(halo=lambda least: 1, boundary=boundary, columns=("value",))
    def peaks(block: Any, least: float) -> Any:
        largest = np.ones(block.shape, bool)
        for axis in range(3):
            for step in (-1, 1):
                largest &= block >= np.roll(block, step, axis)
        if boundary is None:
            for axis in range(3):  # a voxel at the edge of its block has no neighbour there
                largest &= (np.indices(block.shape)[axis] > 0) & (np.indices(block.shape)[axis] < block.shape[axis] - 1)
        places = np.argwhere(largest & (block > least))
        return np.column_stack([places, block[tuple(places.T)]])

    mask = (np.indices(VOLUME.shape).sum(axis=0) % 3 > 0).astype("u1") if with_mask else None
    whole = VOLUME if boundary is None else np.pad(VOLUME, 1, **({"mode": "wrap"} if boundary == "wrap" else {}))
    rows = peaks(whole, 0.5)
    rows[:, :3] -= 0 if boundary is None else 1
    rows = rows[((rows[:, :3] >= 0) & (rows[:, :3] < VOLUME.shape)).all(axis=1)]
    if mask is not None:
        rows = rows[mask[tuple(rows[:, :3].astype(int).T)] > 0]
    blobs = detect_blobs(VOLUME, detector=peaks, params={"least": 0.5}, mask=mask, overlap=1, **SERIAL)
    found = np.stack([blobs[name] for name in ("z", "y", "x", "value")], axis=1)
    np.testing.assert_array_equal(found, rows[np.lexsort(rows.T[2::-1])])
    assert len(found) > 20
