"""Tests of remote arrays: an ordinary array of another process, read and written box by box."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilecore import Box
from tilecore.arrays.remote import RemoteArray
from tilecore.memory.process_memory import is_reachable_by_workers

pytestmark = pytest.mark.skipif(not is_reachable_by_workers(), reason="this system forbids process_vm_readv")


def layouts() -> dict[str, np.ndarray]:
    base = np.random.default_rng(0).integers(0, 200, (7, 6, 8, 3)).astype(np.uint16)
    return {
        "c order": base,
        "one channel": base[..., 1],
        "transposed": base.transpose(2, 0, 3, 1),
        "fortran": np.asfortranarray(base),
        "reversed": base[::-1, :, ::-1],
        "every second": base[:, ::2, 1::3],
        "one plane": base[:, :1],
        "scalar": np.array(5.0),
        "records": np.zeros((4, 5), dtype=[("a", "i2"), ("b", "f8")]),
        "empty": base[:0],
    }


@pytest.mark.parametrize("name", layouts())
@given(data=st.data())
def test_boxes_of_any_layout(name: str, data: st.DataObject) -> None:
    """Boxes are copied through pickle in this process: the bytes take the same way as from another process."""
    array = layouts()[name].copy(order="K") if name != "reversed" else layouts()[name]
    remote = pickle.loads(pickle.dumps(RemoteArray(array)))
    start = [data.draw(st.integers(0, length)) for length in array.shape]
    stop = [data.draw(st.integers(first, length)) for first, length in zip(start, array.shape, strict=True)]
    box = Box(start, stop)
    np.testing.assert_array_equal(remote[box.slices], array[box.slices])
    expected = array.copy()
    value = np.random.default_rng(1).integers(0, 99, box.shape).astype(array.dtype)
    expected[box.slices] = value
    remote[box.slices] = value
    np.testing.assert_array_equal(array, expected)


def test_scalars_are_spread_over_the_box() -> None:
    array = np.zeros((4, 5))
    pickle.loads(pickle.dumps(RemoteArray(array)))[1:3, 2:4] = 7.0
    assert array.sum() == 28


def test_broadcast_arrays_can_be_read() -> None:
    array = np.broadcast_to(np.arange(3), (4, 3))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(RemoteArray(array)))[1:3, 0:2], [[0, 1], [0, 1]])


def test_the_owner_uses_the_array_itself() -> None:
    array = np.zeros((3, 3))
    remote = RemoteArray(array)
    assert np.shares_memory(remote[0:2, 0:2], array)
    remote[0:1, 0:1] = 5
    assert array[0, 0] == 5
    assert (remote.shape, remote.dtype, remote.ndim) == ((3, 3), array.dtype, 2)


def test_descriptors_are_small() -> None:
    array: Any = np.zeros((100, 100, 100))
    assert len(pickle.dumps(RemoteArray(array))) < 300
