"""Arrays of other libraries: the form in which boxes are read from them, and who may read them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, SupportsIndex

import numpy as np
import numpy.typing as npt

from tilecore.array_types import ReadableArray, WritableArray
from tilecore.arrays.access import Access, Reach
from tilecore.arrays.extents import Extent, of_files
from tilecore.arrays.lazily_loaded import stored_behind
from tilecore.errors import ParameterError, ParameterTypeError

__all__ = [
    "ComputedAccess",
    "ForeignAccess",
    "Hdf5Access",
    "LocalAccess",
    "adopted",
    "as_readable",
    "dtype_of",
    "has",
    "is_computed",
    "is_hdf5",
    "is_in_file",
    "is_labelled",
    "is_of",
]


class ForeignAccess(Access):
    """An object of a class that is not known here: other processes read it if it can be sent to them."""

    def readable(self, reach: Reach) -> Any | None:
        """The object; None if it cannot be pickled, as when it holds an open file, which a fork must not share."""
        if reach != "same":
            from tilecore.arrays.pickling import can_be_sent  # it imports cloudpickle, which few sources need

            if not can_be_sent(self.array):
                return None
        return super().readable(reach)


class LocalAccess(Access):
    """An array that holds threads, locks or open files: only this process reads it."""

    @property
    def is_unknowable(self) -> bool:
        """True: the library does not tell whether the voxels have changed."""
        return True

    def readable(self, reach: Reach) -> Any | None:
        """The array in this process; None for others, which get its blocks through shared memory."""
        return super().readable(reach) if reach == "same" else None


class ComputedAccess(LocalAccess):
    """An array of dask: each box is computed when it is read, and nothing can be written."""

    @property
    def is_writable(self) -> bool:
        """False: what is written would only become a part of the graph."""
        return False


class Hdf5Access(LocalAccess):
    """A dataset opened by h5py: a file inherited through a fork gives wrong voxels."""

    @property
    def extents(self) -> tuple[Extent, ...]:
        """The dataset in its file."""
        return tuple([Extent((file.space, self.array.name)) for file in of_files([self.array.file.filename])])


def adopted(array: object) -> object:
    """Return an array in the form in which boxes are read from it.

    Parameters
    ----------
    array : object
        Any object.

    Returns
    -------
    object
        An ndarray of the same memory, if the object holds its voxels in memory and numpy can see them
        (``__array_interface__``, ``__dlpack__``), or if it has no other way (``__array__``). The data of a
        labelled array. The array of zarr that xarray or dask only read. Any other object as it is: its boxes are
        read, or computed, one by one.

    Raises
    ------
    ParameterTypeError
        If numpy cannot see the voxels, for example because they lie on a GPU.
    """
    return next(adopt for is_one, adopt in _FORMS if is_one(array))(array)


def as_readable(given: object, parameter: str) -> ReadableArray:
    """Return an array of any library in the form in which boxes are read from it, as `adopted` does.

    Raises
    ------
    ParameterTypeError, ParameterError
        If it is no array, or none that can be cut into tiles.
    """
    array: Any = adopted(given)
    if not all(hasattr(array, name) for name in ("shape", "dtype", "__getitem__")):
        raise ParameterTypeError.of(parameter, given, "must be an array, a path, or a list of them")
    if isinstance(array, np.ma.MaskedArray):
        raise ParameterTypeError(
            f"{parameter}: a masked array loses its mask; fill it, or give data and mask as two sources"
        )
    if dtype_of(array, parameter).hasobject:
        raise ParameterTypeError.of(parameter, array.dtype, "arrays of Python objects cannot be tiled")
    if not all(isinstance(length, SupportsIndex) for length in array.shape):
        raise ParameterError.of(
            parameter, array.shape, "a length is unknown: with dask, call compute_chunk_sizes() first"
        )
    readable: ReadableArray = array
    return readable


def dtype_of(array: ReadableArray | WritableArray, parameter: str) -> np.dtype[Any]:
    """Return the dtype of an array of any library.

    Raises
    ------
    ParameterTypeError
        If numpy has no such dtype.
    """
    given: object = array.dtype
    try:
        if given is not None:  # which numpy takes for float64
            return np.dtype(given)  # type: ignore[call-overload,no-any-return]
    except TypeError:
        pass
    raise ParameterTypeError.of(parameter, given, "numpy has no such dtype; convert the array first")


def has(array: object, name: str) -> bool:
    """Whether an object or its class really has an attribute: some objects make up any attribute that is asked for."""
    return hasattr(type(array), name) or name in getattr(array, "__dict__", ())


def is_of(package: str, array: object) -> bool:
    """Whether the class of an object, or one that it is derived from, belongs to a package."""
    return any(each.__module__.partition(".")[0] == package for each in type(array).__mro__)


def is_hdf5(array: object) -> bool:
    """Whether it is a dataset of h5py."""
    return is_of("h5py", array) and has(array, "file")


def _is_tensorstore(array: object) -> bool:
    """Whether it is an array of tensorstore, whose threads do not live on in a forked process."""
    return is_of("tensorstore", array) and has(array, "domain")


def is_computed(array: object) -> bool:
    """Whether it is an array of dask, or labelled by xarray and of dask."""
    return is_of("dask", array) or (is_labelled(array) and getattr(array, "chunks", None) is not None)


def is_labelled(array: object) -> bool:
    """Whether it is a DataArray or a Variable of xarray."""
    return is_of("xarray", array) and has(array, "dims") and has(array, "dtype")


def _same(array: object) -> object:
    return array


def is_in_file(array: object) -> bool:
    """Whether it is a labelled array that xarray reads from a file, as a whole once its data are asked for."""
    if not is_labelled(array) or is_computed(array):
        return False
    in_memory = getattr(getattr(array, "variable", array), "_in_memory", False)  # the only way to know
    return not in_memory


def _data_of(array: object) -> object:
    """Data of a labelled array; if it is read from a file, what is read there, or the array itself."""
    labelled: Any = array
    return stored_behind(labelled) or labelled if is_in_file(array) else adopted(labelled.data)


def _read_or_computed(array: object) -> object:
    """What an array of dask does nothing but read; otherwise the array itself."""
    return stored_behind(array) or array


def _from_zero(array: object) -> object:
    """An array of tensorstore whose first voxel has the index zero, as everywhere else."""
    store: Any = array
    if any(store.domain.inclusive_min):
        store = store[sys.modules["tensorstore"].d[:].translate_to[0]]
    return _Store(store)


@dataclass(frozen=True)
class _Store:
    """An array of tensorstore with a dtype of numpy."""

    source: Any

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.source.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        dtype: np.dtype[Any] = self.source.dtype.numpy_dtype
        return dtype

    @property
    def chunks(self) -> tuple[int, ...] | None:
        shape: tuple[int, ...] | None = self.source.chunk_layout.read_chunk.shape
        return shape

    @property
    def access(self) -> LocalAccess:
        return LocalAccess(self)

    def __getitem__(self, slices: tuple[slice, ...]) -> npt.NDArray[Any]:
        return np.asarray(self.source[slices].read().result())


def _seen_by_numpy(array: object) -> npt.NDArray[Any]:
    """View of the voxels as an ndarray."""
    held: Any = array
    from_numpy = has(array, "__array__") or has(array, "__array_interface__")
    try:
        return np.asarray(held) if from_numpy else np.from_dlpack(held)
    except Exception as error:  # each library has errors of its own
        kind = type(array)
        raise ParameterTypeError(
            f"source: numpy cannot see the voxels of a {kind.__module__}.{kind.__qualname__} ({error}); "
            "give them as an array in this computer's memory, of a dtype that numpy has"
        ) from error


def _is_in_memory(array: object) -> bool:
    return has(array, "__array_interface__") or has(array, "__dlpack__")


def _is_read_by_box(array: object) -> bool:
    return all(hasattr(array, name) for name in ("shape", "dtype", "__getitem__"))


# Forms of arrays; the first that fits is used.
_FORMS: tuple[tuple[Callable[[Any], bool], Callable[[Any], object]], ...] = (
    (lambda array: isinstance(array, np.ndarray), _same),
    (is_labelled, _data_of),
    (lambda array: is_of("dask", array), _read_or_computed),
    (_is_tensorstore, _from_zero),
    (_is_in_memory, _seen_by_numpy),
    (_is_read_by_box, _same),
    (lambda array: has(array, "__array__"), _seen_by_numpy),
    (lambda _: True, _same),
)
