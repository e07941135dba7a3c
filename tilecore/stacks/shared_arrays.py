"""Shared arrays as in MagellanMapper: named arrays that a pool's initializer passes to its processes."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from tilecore.arrays.shared import HoldsSharedArray, SharedArray

__all__ = ["SharedArr", "SharedArrsContainer", "init_shared_container"]


class SharedArr(HoldsSharedArray):
    """An array copied into shared memory, together with its shape and dtype.

    Parameters
    ----------
    arr : array_like
        Array of any layout, and any dtype of fixed size.

    Attributes
    ----------
    arr : ndarray, shape (n_voxels,)
        The shared voxels as a flat array.
    shape : tuple of int
        Shape of the original array.
    dtype : numpy.dtype
        Data type of the original array.

    Notes
    -----
    Process-safety: pickles as a descriptor; all processes see the same voxels.

    References
    ----------
    .. [1] Name and meaning from ``magmap.cv.chunking``, which uses a ctypes array.
    """

    def __init__(self, arr: npt.ArrayLike) -> None:
        self._shared = SharedArray.from_array(arr)
        self.shape: tuple[int, ...] = self._shared.shape
        self.dtype: np.dtype[Any] = self._shared.dtype

    @property
    def arr(self) -> npt.NDArray[Any]:
        """The shared voxels as a flat array."""
        return self._shared.view().reshape(-1)

    def shared(self) -> SharedArray:
        """Return the same memory as a `SharedArray`."""
        return self._shared

    def as_ndarray(self) -> npt.NDArray[Any]:
        """Return the shared voxels in their original shape, without a copy."""
        return self._shared.view()[...]


class SharedArrsContainer:
    """Named shared arrays, which a pool's initializer sets and its tasks get by name.

    Attributes
    ----------
    shared_arrs : dict or None
        Shared arrays of this process by name; None if none are set.

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
        """Set the shared arrays of this process.

        Parameters
        ----------
        shared_arrs : dict of SharedArr
            Shared arrays by name.
        """
        cls.shared_arrs = shared_arrs

    @classmethod
    def build_pool_init(
        cls, arrs: Mapping[Any, npt.ArrayLike | None]
    ) -> tuple[Callable[..., None], tuple[Callable[..., None], dict[Any, SharedArr]]]:
        """Share arrays, and build a pool's initializer and its arguments.

        Parameters
        ----------
        arrs : dict of (array_like or None)
            Arrays by name; each is copied into shared memory once, whatever the number of workers. A name whose
            array is None is left out, so `convert_shared_arr` gives None for it.

        Returns
        -------
        initializer : callable
            Function for each process of the pool.
        initargs : tuple
            Its arguments. Pass both to `get_mp_pool`, or to any ``multiprocessing.Pool``.
        """
        shared = {name: SharedArr(arr) for name, arr in arrs.items() if arr is not None}
        return init_shared_container, (cls.setup_shared_arrs, shared)

    @classmethod
    def convert_shared_arr(cls, arr_key: Hashable) -> npt.NDArray[Any] | None:
        """Return a shared array as an ndarray; None if there is no array of this name.

        Parameters
        ----------
        arr_key : hashable
            Name of the array.
        """
        shared = (cls.shared_arrs or {}).get(arr_key)
        return None if shared is None else shared.as_ndarray()


def init_shared_container(fn: Callable[..., Any], *args: object) -> None:
    """Initialize a worker process: call `fn` with `args`.

    Parameters
    ----------
    fn : callable
        Function that takes `args`.
    *args
        Arguments that the pool was given.

    References
    ----------
    .. [1] Name and meaning from ``magmap.cv.chunking``.
    """
    fn(*args)
