"""Contract of results: the same function gives the same, or the same error, by each executor and with any tiles."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from tilecore import (
    ParameterError,
    ParameterTypeError,
    SharedArray,
    TileError,
    TileGrid,
    collect_tiles,
    declare,
    map_tiles,
)
from tilecore.engine.casting import CastError, converted

VOLUME = np.arange(1.0, 513).reshape(8, 8, 8)


@pytest.fixture(params=[4, None], ids=["given", "planned"])
def options(request: pytest.FixtureRequest, run: dict[str, Any]) -> dict[str, Any]:
    return run | {"tile_shape": request.param, "retries": 0}


class Two(NamedTuple):
    array: np.ndarray
    number: int


class Own:
    def __init__(self, array: np.ndarray) -> None:
        self.array = array


def listed(block: np.ndarray) -> list[Any]:
    numbers: list[Any] = block.tolist()
    return numbers


def array_and_list(block: np.ndarray) -> tuple[np.ndarray, list[Any]]:
    return block * 2, block.tolist()


def objects(block: np.ndarray) -> np.ndarray:
    return block.astype(object)


def array_and_objects(block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return block, block.astype(object)


def nothing(block: np.ndarray) -> None:
    return None


def masked(block: np.ndarray) -> np.ma.MaskedArray[Any, Any]:
    return np.ma.masked_less(block, 3)


def generator(block: np.ndarray) -> Any:
    return (number for number in block.flat)


def test_a_list_of_numbers_is_an_array(options: dict[str, Any]) -> None:
    np.testing.assert_array_equal(map_tiles(listed, VOLUME, **options), VOLUME)


def test_an_array_and_a_list_are_two_results(options: dict[str, Any]) -> None:
    doubled, same = map_tiles(array_and_list, VOLUME, **options)
    np.testing.assert_array_equal(doubled, VOLUME * 2)
    np.testing.assert_array_equal(same, VOLUME)
    for array, numbers in collect_tiles(array_and_list, VOLUME, **options):
        assert isinstance(numbers, list)
        np.testing.assert_array_equal(array, np.asarray(numbers) * 2)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (objects, "the function returned Python objects; .*collect_tiles"),
        (array_and_objects, "the function returned Python objects"),
        (nothing, "the function returned NoneType; it must return an ndarray"),
        (masked, "the function returned MaskedArray; it must return an ndarray"),
        (generator, "the function returned Python objects"),
    ],
    ids=["objects", "array and objects", "nothing", "mask", "generator"],
)
def test_what_is_no_volume_is_refused(function: Any, message: str, options: dict[str, Any]) -> None:
    with pytest.raises(TileError, match=message) as raised:
        map_tiles(function, VOLUME, **options)
    assert isinstance(raised.value.__cause__, ParameterError)


@pytest.mark.parametrize(
    "given", [{"dtype": object}, {"out": np.empty(VOLUME.shape, object)}, {"dtype": [float, object]}], ids=str
)
def test_no_output_holds_objects(given: dict[str, Any], options: dict[str, Any]) -> None:
    with pytest.raises(ParameterTypeError, match="Python objects make no volume; use collect_tiles"):
        map_tiles(np.copy, VOLUME, **given, **options)


def test_collected_objects_are_what_was_returned(options: dict[str, Any]) -> None:
    for found in collect_tiles(objects, VOLUME, **options):
        assert found.dtype == object
    for found in collect_tiles(lambda block: Two(block, int(block.size)), VOLUME, **options):
        assert isinstance(found, Two) and found.number == found.array.size
    for found in collect_tiles(Own, VOLUME, **options):
        assert isinstance(found, Own) and found.array.ndim == 3
    for found in collect_tiles(lambda block: {1, "a", None}, VOLUME, **options):
        assert found == {1, "a", None}


def test_what_cannot_be_sent_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(TileError, match=r"ShippingError: the result, a generator, cannot be sent back: TypeError"):
        collect_tiles(generator, VOLUME, **options)


@pytest.mark.parametrize("wrap", [Own, lambda array: Two(array, 0), lambda array: {"a": [(array,)]}, lambda a: a])
def test_a_result_is_not_changed_by_later_calls(wrap: Any, run: dict[str, Any]) -> None:
    """A function may use its memory again, and the caller may write into results."""
    kept = np.zeros(2)

    def use_again(block: np.ndarray) -> Any:
        kept[:] = block.min()
        return wrap(kept)

    def unwrap(result: Any) -> np.ndarray:
        array: np.ndarray = result["a"][0][0] if isinstance(result, dict) else getattr(result, "array", result)
        array += 0
        return array

    found = collect_tiles(use_again, VOLUME, tile_shape=4, **run)
    expected = [VOLUME[z : z + 4, y : y + 4, x : x + 4].min() for z in (0, 4) for y in (0, 4) for x in (0, 4)]
    assert [unwrap(each).tolist() for each in found] == [[value] * 2 for value in expected]


def complex_later(block: np.ndarray) -> np.ndarray:
    return block + 1j * (block > 500)


@pytest.mark.parametrize("how", ["dtype", "declared", "out", "shared", "file", "inplace"])
def test_complex_results_never_lose_their_imaginary_part(how: str, options: dict[str, Any], tmp_path: Path) -> None:
    source = VOLUME.copy()
    function = declare(dtype="f4")(lambda block: block + 1j * (block > 500)) if how == "declared" else complex_later
    given: dict[str, Any] = {
        "dtype": {"dtype": "f4"},
        "declared": {},
        "out": {"out": np.zeros(VOLUME.shape)},
        "shared": {"out": SharedArray(VOLUME.shape, "f4")},
        "file": {"out": tmp_path / "out.npy", "dtype": "f4"},
        "inplace": {"out": source, "inplace": True},
    }[how]
    with pytest.raises((TileError, CastError), match="complex numbers do not fit into dtype float(32|64)"):
        map_tiles(function, source, **given, **options)
    both = map_tiles(complex_later, VOLUME, **options)
    np.testing.assert_array_equal(both, complex_later(VOLUME))


@pytest.mark.parametrize(
    ("function", "dtype", "message"),
    [
        (lambda block: block + 1j, "m8[s]", "complex numbers do not fit"),
        (lambda block: block + 1j, "U20", "complex numbers do not fit"),
        (lambda block: block + 1j, bool, "complex numbers do not fit"),
        (lambda block: block * 1e300, "f4", "values do not fit into dtype float32, which would make them infinite"),
        (lambda block: block * (1e300 + 1j), "c8", "values do not fit into dtype complex64"),
        (lambda block: block * 1e3, "f2", "values do not fit into dtype float16"),
        (lambda block: block * 1000, "u2", "values from .* do not fit into dtype uint16"),
        (lambda block: -block, "u2", "values from .* do not fit into dtype uint16"),
        (lambda block: block * np.nan, "i4", "values from nan to nan do not fit into dtype int32"),
        (lambda block: block.astype("S9"), "S2", "do not fit into dtype .S2"),
        (lambda block: block, "U2", "values of dtype float64 do not fit into dtype <U2"),
        (lambda block: block.astype("m8[ms]"), "m8[s]", "do not fit into dtype timedelta64"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_cast_that_loses_is_refused(function: Any, dtype: Any, message: str) -> None:
    for tile_shape in (4, None):
        with pytest.raises(TileError, match=message):
            map_tiles(function, VOLUME, dtype=dtype, tile_shape=tile_shape, executor="serial")


@pytest.mark.parametrize(
    ("function", "dtype", "expected"),
    [
        (lambda block: block / 3, "f4", (VOLUME / 3).astype("f4")),
        (lambda block: block * np.inf, "f4", np.full(VOLUME.shape, np.inf, "f4")),
        (lambda block: block * np.nan, "f4", np.full(VOLUME.shape, np.nan, "f4")),
        (lambda block: block + 0.6, "u2", VOLUME.astype("u2")),
        (lambda block: block - 1, bool, VOLUME > 1),
        (lambda block: block * (1 + 2j), "c8", (VOLUME * (1 + 2j)).astype("c8")),
        (lambda block: block.astype("m8[s]"), "i4", VOLUME.astype("i4")),
        (lambda block: block.astype("m8[s]"), "m8[ms]", VOLUME.astype("m8[s]").astype("m8[ms]")),
    ],
    ids=["rounded", "infinite", "nan", "truncated", "bool", "complex", "seconds", "time"],
)
def test_a_cast_that_was_asked_for_is_made(function: Any, dtype: Any, expected: np.ndarray) -> None:
    found = map_tiles(function, VOLUME, dtype=dtype, tile_shape=4, executor="serial")
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


TILE = TileGrid((1,), 1)[0]


@pytest.mark.parametrize("dtype", ["i1", "u1", "i4", "u4", "i8", "u8"])
@pytest.mark.parametrize("given", ["f2", "f4", "f8", "g", "i8", "u8"])
def test_integers_hold_all_numbers_up_to_their_limits_and_no_other(given: str, dtype: str) -> None:
    limits, kind = np.iinfo(dtype), np.dtype(given)
    wanted = [limits.min, limits.max, limits.min - 1, limits.max + 1]
    if kind.kind in "iu":
        near = [np.array(each, kind) for each in wanted if np.iinfo(kind).min <= each <= np.iinfo(kind).max]
    else:
        with np.errstate(all="ignore"):
            ends = [kind.type(each) for each in wanted]
            near = [np.nextafter(each, kind.type(to)) for each in ends for to in (0, -np.inf, np.inf)]
            near += [*ends, *map(kind.type, (-0.5, 0.5, np.nan, np.inf, -np.inf))]
    for number in near:
        fits = bool(np.isfinite(number)) and limits.min <= int(number) <= limits.max
        if fits:
            assert int(converted(np.array([number], kind), np.dtype(dtype), False, TILE)[0]) == int(number)
        else:
            with pytest.raises(CastError, match="do not fit"):
                converted(np.array([number], kind), np.dtype(dtype), False, TILE)


def test_a_mask_of_any_number_is_true_where_it_is_not_zero() -> None:
    np.testing.assert_array_equal(converted(np.array([0, 1, 7]), np.dtype(bool), False, TILE), [False, True, True])


@pytest.mark.parametrize(
    ("boundary", "dtype"),
    [
        (300, "u1"),
        (-1, "u1"),
        (0.5, "i4"),
        (float("nan"), "i2"),
        (1e300, "f4"),
        (2**200, "f4"),
        (10**400, "f4"),
        (10**400, "c16"),
        (10**30, "i8"),
    ],
    ids=str,
)
def test_a_value_beyond_the_edges_is_one_of_the_voxels(boundary: Any, dtype: Any) -> None:
    with pytest.raises(ParameterError, match=r"boundary=.*: voxels of dtype \S+ cannot have this value"):
        collect_tiles(np.size, VOLUME.astype(dtype), tile_shape=4, halo=1, boundary=boundary, executor="serial")


@pytest.mark.parametrize("dtype", ["f4", "f8", "c8"])
def test_a_large_integer_beyond_the_edges_is_a_float(dtype: str) -> None:
    blocks = collect_tiles(np.copy, np.ones((2, 2), dtype), halo=1, boundary=2**70, executor="serial")
    np.testing.assert_array_equal(blocks[0], np.pad(np.ones((2, 2), dtype), 1, constant_values=2.0**70))


def test_a_value_beyond_the_edges_is_real() -> None:
    with pytest.raises(ParameterTypeError, match="boundary="):
        collect_tiles(np.size, VOLUME, tile_shape=4, halo=1, boundary=np.complex128(1j), executor="serial")
    for boundary in (0.1, np.nan, -np.inf, np.float32(7)):
        (edge,) = set(collect_tiles(lambda b: repr(float(b[0, 0, 0])), VOLUME, halo=1, boundary=boundary, tile_shape=8))
        assert edge == repr(float(boundary))


class Compiled:
    """A function as Cython makes it of a typed memoryview: it takes no memory that it may only read."""

    def __init__(self, message: str = "buffer source array is read-only", error: type[Exception] = ValueError) -> None:
        self.message, self.error = message, error
        self.refused = 0

    def __call__(self, block: np.ndarray) -> np.ndarray:
        if not block.flags.writeable:
            self.refused += 1
            raise self.error(self.message)
        block += 1
        return block


def test_a_compiled_function_gets_memory_that_it_may_write(options: dict[str, Any]) -> None:
    source = VOLUME.copy()
    np.testing.assert_array_equal(map_tiles(Compiled(), source, **options), VOLUME + 1)
    np.testing.assert_array_equal(source, VOLUME)


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("buffer source array is read-only", ValueError),
        ("array is not writeable", ValueError),
        ("underlying buffer is not writable", TypeError),
        ("Object is not writable.", BufferError),
    ],
)
def test_it_is_asked_once_in_a_run(message: str, error: type[Exception]) -> None:
    function = Compiled(message, error)
    for n_runs in (1, 2):
        map_tiles(function, VOLUME, tile_shape=4, executor="serial")
        assert function.refused == n_runs


def test_another_error_of_a_compiled_function_stays_its_own() -> None:
    with pytest.raises(TileError, match="ValueError: Buffer has wrong number of dimensions"):
        map_tiles(Compiled("Buffer has wrong number of dimensions"), VOLUME, tile_shape=4, executor="serial")


def test_a_mask_beyond_the_edges_is_true_for_any_number_but_zero() -> None:
    """The same value is beyond the edges of an image and of its mask."""
    sources = [np.zeros((3, 3)), np.zeros((3, 3), bool)]
    for boundary, expected in ((7, True), (0.5, True), (0, False)):
        ((_, mask),) = collect_tiles(lambda *blocks: blocks, sources, halo=1, boundary=boundary, executor="serial")
        assert mask[0, 0] == expected
        assert not mask[1:-1, 1:-1].any()
