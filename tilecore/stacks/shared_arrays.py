"""MagellanMapper's way of sharing: named arrays handed to a pool by its initializer."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from tilecore.arrays.shared import HoldsSharedArray, SharedArray

__all__ = ["SharedArr", "SharedArrsContainer", "init_shared_container"]


class SharedArr(HoldsSharedArray):
    """An array copied into shared memory, with what is needed to see it as an array again.

    Parameters
    ----------
    arr : array_like
        Any layout, any dtype of fixed size.

    Attributes
    ----------
    arr : ndarray, shape (n_voxels,)
        The shared voxels, flat.
    shape : tuple of int
        Shape of the original array.
    dtype : numpy.dtype
        Its dtype.

    Notes
    -----
    Process-safety: pickles as a descriptor; all processes see the same voxels.

    References
    ----------
    .. [1] Name and meaning from ``magmap.cv.chunking``, there over a ctypes array.
    """

    def __init__(self, arr: npt.ArrayLike) -> None:
        self._shared = SharedArray.from_array(arr)
        self.shape: tuple[int, ...] = self._shared.shape
        self.dtype: np.dtype[Any] = self._shared.dtype

    @property
    def arr(self) -> npt.NDArray[Any]:
        """The shared voxels, flat."""
        return self._shared.view().reshape(-1)

    def shared(self) -> SharedArray:
        """The same memory as a `SharedArray`."""
        return self._shared

    def as_ndarray(self) -> npt.NDArray[Any]:
        """The shared voxels in their original shape, without a copy."""
        return self._shared.view()[...]


class SharedArrsContainer:
    """Named shared arrays, put in place by a pool's initializer and asked for by name in its tasks.

    Attributes
    ----------
    shared_arrs : dict or None
        Names and shared arrays of this process.

    References
    ----------
    .. [1] Name and meaning from ``magmap.cv.chunking``.

    Examples
    --------
    >>> import numpy as np, tilecore
    >>> def total(name):
    ...     return int(tilecore.SharedArrsContainer.convert_shared_arr(name).sum())
    >>> start = tilecore.SharedArrsContainer.build_pool_init({"labels": np.ones((2, 3))})
    >>> start[0](*start[1])  # what each worker of tilecore.get_mp_pool(*start) does first
    >>> total("labels")
    6
    """

    shared_arrs: ClassVar[dict[Any, SharedArr] | None] = None

    @classmethod
    def setup_shared_arrs(cls, shared_arrs: dict[Any, SharedArr]) -> None:
        """Put shared arrays in place in this process.

        Parameters
        ----------
        shared_arrs : dict of SharedArr
        """
        cls.shared_arrs = shared_arrs

    @classmethod
    def build_pool_init(
        cls, arrs: Mapping[Any, npt.ArrayLike]
    ) -> tuple[Callable[..., None], tuple[Callable[..., None], dict[Any, SharedArr]]]:
        """Share arrays and build a pool's initializer and its arguments.

        Parameters
        ----------
        arrs : dict of array_like
            Each is copied into shared memory once, whatever the number of workers.

        Returns
        -------
        initializer : callable
        initargs : tuple
            To be passed to `get_mp_pool`, or to any ``multiprocessing.Pool``.
        """
        return init_shared_container, (cls.setup_shared_arrs, {name: SharedArr(arr) for name, arr in arrs.items()})

    @classmethod
    def convert_shared_arr(cls, arr_key: Hashable) -> npt.NDArray[Any] | None:
        """See a shared array as an ndarray; None if there is none of that name.

        Parameters
        ----------
        arr_key : hashable
        """
        shared = (cls.shared_arrs or {}).get(arr_key)
        return None if shared is None else shared.as_ndarray()


def init_shared_container(fn: Callable[..., Any], *args: object) -> None:
    """Initialize a worker process: call `fn` with `args`.

    Parameters
    ----------
    fn : callable
        Takes `args`.
    *args
        As given to the pool.

    References
    ----------
    .. [1] Name and meaning from ``magmap.cv.chunking``.
    """
    fn(*args)
