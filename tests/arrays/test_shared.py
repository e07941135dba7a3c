"""Tests of shared arrays: any dtype and shape, in every process, without a copy per worker."""

from __future__ import annotations

import multiprocessing
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tilecore import ParameterError, ParameterTypeError, SharedArray

METHODS = ["fork", "forkserver", "spawn"]
BACKENDS = ["memfd", "shm", "mmap"]

dtypes = st.one_of(
    hnp.scalar_dtypes(),
    hnp.byte_string_dtypes(min_len=1),
    hnp.unicode_string_dtypes(min_len=1),
    st.just(np.dtype([("z", "f4"), ("n", "i2", (2,))])),
    st.just(np.dtype("datetime64[ns]")),
    st.just(np.dtype(">u2")),
)
shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)


def as_bytes(array: Any) -> bytes:
    return np.ascontiguousarray(array).tobytes()


@given(hnp.arrays(dtypes, shapes), st.sampled_from(BACKENDS))
def test_any_array_comes_back(array: np.ndarray, backend: str) -> None:
    with SharedArray.from_array(array, backend=backend) as shared:
        assert (shared.shape, shared.dtype, shared.size, shared.nbytes) == (
            array.shape,
            array.dtype,
            array.size,
            array.nbytes,
        )
        assert as_bytes(shared.view()) == as_bytes(array)
        assert as_bytes(pickle.loads(pickle.dumps(shared)).view()) == as_bytes(array)


@given(hnp.arrays(np.uint16, st.tuples(*[st.integers(1, 9)] * 3)), st.permutations([0, 1, 2]), st.booleans())
def test_any_layout_is_copied_in_c_order(array: np.ndarray, order: list[int], flipped: bool) -> None:
    view = array.transpose(order)[:, :: -1 if flipped else 2]
    shared = SharedArray.from_array(view)
    np.testing.assert_array_equal(shared, view)
    assert shared.view().flags.c_contiguous


def test_large_strided_arrays_are_copied_in_slabs() -> None:
    array = np.arange(3 * 10**6, dtype=np.float64).reshape(300, 100, 100)[::-1, :, ::2]
    np.testing.assert_array_equal(SharedArray.from_array(array), array)
    long_row = np.arange(10**6)[None, ::-1]
    np.testing.assert_array_equal(SharedArray.from_array(long_row), long_row)


def test_a_new_array_is_zero() -> None:
    shared = SharedArray.create((3, 4), "f4")
    assert not shared.view().any()
    assert shared.ndim == 2
    assert len(shared) == 3


def test_a_subarray_dtype_adds_its_axes() -> None:
    shared = SharedArray((4,), np.dtype(("f4", (3,))))
    assert (shared.shape, shared.dtype) == ((4, 3), np.dtype("f4"))


def double(shared: SharedArray) -> None:
    shared[...] = 2 * shared[...]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_processes_share_the_voxels(method: str, backend: str) -> None:
    shared = SharedArray.from_array(np.arange(12).reshape(3, 4), backend=backend)
    process = multiprocessing.get_context(method).Process(target=double, args=(shared,))
    process.start()
    process.join()
    process.close()
    np.testing.assert_array_equal(shared, 2 * np.arange(12).reshape(3, 4))


def total(shared: SharedArray) -> int:
    return int(shared.view().sum())


@pytest.mark.parametrize("method", METHODS)
def test_a_running_pool_takes_shared_arrays_as_arguments(method: str) -> None:
    shared = SharedArray.from_array(np.arange(100))
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(total, [shared] * 4) == [4950] * 4
        pool.close()
        pool.join()


def test_descriptors_are_small() -> None:
    assert len(pickle.dumps(SharedArray((1000, 100, 100), "u1", reserve=False))) < 600


def test_readonly_views_stay_readonly() -> None:
    shared = SharedArray.from_array(np.arange(4))
    view = shared.view(readonly=True)
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1
    with pytest.raises(ValueError, match="WRITEABLE"):
        view.flags.writeable = True
    sent = pickle.loads(pickle.dumps(shared.readonly()))
    assert not sent.view().flags.writeable
    shared[0] = 7
    assert view[0] == sent[0] == 7


def test_private_views_keep_what_is_written_to_themselves() -> None:
    shared = SharedArray.from_array(np.zeros(4096))
    private = shared.private_view()
    private[0] = 1
    assert shared[0] == 0
    shared[-1] = 5
    assert private[-1] == 5  # on another page: what was not written is still shared


def test_views_outlive_the_array() -> None:
    shared = SharedArray.from_array(np.arange(5))
    view = shared.view()
    shared.close()
    shared.close()
    assert view.sum() == 10
    assert "closed" in repr(shared)
    with pytest.raises(ValueError, match="closed"):
        shared.view()


def test_numpy_takes_it_for_an_array() -> None:
    shared = SharedArray.from_array(np.arange(6.0).reshape(2, 3))
    assert np.mean(shared) == 2.5
    assert np.asarray(shared).base is not None
    np.testing.assert_array_equal(np.asarray(shared, dtype=int), [[0, 1, 2], [3, 4, 5]])


@pytest.mark.parametrize("dtype", [object, "O", np.dtype([("a", object)]), np.dtypes.StringDType()])
def test_python_objects_are_refused(dtype: Any) -> None:
    with pytest.raises(ParameterTypeError, match=r"dtype=.*Python objects"):
        SharedArray((3,), dtype)


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ParameterError, match="shape"):
        SharedArray((-1, 3), "u1")
    with pytest.raises(ParameterTypeError, match="shape"):
        SharedArray((1.5,), "u1")
    with pytest.raises(ParameterError, match=r"\(3,\) of uint8 is needed"):
        SharedArray((3,), "u1").fill(np.zeros(4, "u1"))
