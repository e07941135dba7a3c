"""Arrays of other libraries, and stand-ins for those that are too large to install: each holds a given volume."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest


class WithInterface:
    """Memory that numpy sees by ``__array_interface__``, and that has neither shape nor slices, as a picture of PIL."""

    def __init__(self, volume: np.ndarray) -> None:
        self._volume = volume

    @property
    def __array_interface__(self) -> dict[str, Any]:
        return dict(self._volume.__array_interface__)


class WithDlpack:
    """Memory that numpy sees by ``__dlpack__``, with a dtype that numpy does not know, as a tensor."""

    dtype = "tensor.uint16"

    def __init__(self, volume: np.ndarray) -> None:
        self._volume = volume
        self.shape = volume.shape

    def __getitem__(self, index: Any) -> WithDlpack:
        return WithDlpack(self._volume[index])

    def __dlpack__(self, **options: Any) -> Any:
        return self._volume.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._volume.__dlpack_device__()


class Tensor(WithDlpack):
    """A tensor as torch has them: it also gives itself to numpy, if its voxels are in memory."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self._volume, dtype=dtype)


class WithArray:
    """An object that can only become an ndarray as a whole."""

    def __init__(self, volume: np.ndarray) -> None:
        self._volume = volume

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self._volume, dtype=dtype)


class Sliced:
    """A reader of one's own that can be sent: shape, dtype and slices, and chunks of several lengths, as dask's."""

    def __init__(self, volume: np.ndarray) -> None:
        self._volume = volume
        self.shape, self.dtype = volume.shape, volume.dtype
        self.chunks: Any = ((3, 5, len(volume) - 8), *[(length,) for length in volume.shape[1:]])

    def __getitem__(self, index: Any) -> np.ndarray:
        box: np.ndarray = self._volume[index]
        return box


class OpenFile(Sliced):
    """A reader with an open file: processes that share it move each other's position."""

    chunks = "as it likes"

    def __init__(self, volume: np.ndarray, path: Path) -> None:
        self.shape, self.dtype, self.path = volume.shape, volume.dtype, path
        volume.tofile(path)
        self.file, self.lock, self.pid = path.open("rb"), threading.Lock(), os.getpid()

    def __getitem__(self, index: Any) -> np.ndarray:
        assert os.getpid() == self.pid, "another process reads by the same open file"
        with self.lock:
            self.file.seek(0)
            box: np.ndarray = np.fromfile(self.file, self.dtype).reshape(self.shape)[index]
        return box


Make = Callable[[np.ndarray, Path], Any]


def _open_file(volume: np.ndarray, folder: Path) -> Iterator[OpenFile]:
    reader = OpenFile(volume, folder / "numbers")
    yield reader
    reader.file.close()


def _hdf5(volume: np.ndarray, folder: Path) -> Iterator[Any]:
    h5py = pytest.importorskip("h5py")
    with h5py.File(folder / "volume.h5", "w") as file:
        yield file.create_dataset(
            "volume", data=volume, chunks=(4, 4, 4, 2)[: volume.ndim]
        )  # not written to the disk yet


def _dask(volume: np.ndarray, folder: Path) -> Any:
    array = pytest.importorskip("dask.array")
    return array.from_array(volume, chunks=(5, (7, volume.shape[1] - 7), *volume.shape[2:])) + 0


def _torch(volume: np.ndarray, folder: Path) -> Any:
    return pytest.importorskip("torch").from_numpy(volume.copy())


def _jax(volume: np.ndarray, folder: Path) -> Any:
    return pytest.importorskip("jax.numpy").asarray(volume)


def _tensorstore(volume: np.ndarray, folder: Path) -> Any:
    return pytest.importorskip("tensorstore").array(volume)


def _tensorstore_elsewhere(volume: np.ndarray, folder: Path) -> Any:
    """An array of a file, whose first voxel has an index of its own."""
    tensorstore = pytest.importorskip("tensorstore")
    kept = {"driver": "zarr", "kvstore": {"driver": "file", "path": str(folder / "volume")}}
    store = tensorstore.open(kept, create=True, shape=volume.shape, dtype=volume.dtype.name, chunk_layout=None).result()
    store[...] = volume
    return store[tensorstore.d[:].translate_by[(3, -2, 100, 7)[: volume.ndim]]]


def _labelled(volume: np.ndarray, folder: Path) -> Any:
    return pytest.importorskip("xarray").DataArray(volume, dims=("depth", "row", "column", "color")[: volume.ndim])


def _labelled_dask(volume: np.ndarray, folder: Path) -> Any:
    return _labelled(volume, folder).copy(data=_dask(volume, folder))


def _labelled_file(volume: np.ndarray, folder: Path) -> Iterator[Any]:
    xarray, _ = pytest.importorskip("xarray"), pytest.importorskip("zarr")
    _labelled(volume, folder).to_dataset(name="volume").to_zarr(folder / "volume.zarr", consolidated=False)
    with xarray.open_zarr(folder / "volume.zarr", chunks=None, consolidated=False) as opened:
        yield opened["volume"]


def _zarr(volume: np.ndarray, folder: Path) -> Any:
    import zarr

    return zarr.array(volume, store=str(folder / "volume.zarr"), chunks=(4, 8, 8)[: volume.ndim])


#: How an array of each kind is made of a volume.
KINDS: dict[str, Callable[[np.ndarray, Path], Any]] = {
    "__array_interface__": lambda volume, _: WithInterface(volume),
    "__dlpack__": lambda volume, _: WithDlpack(volume),
    "__array__": lambda volume, _: WithArray(volume),
    "like a tensor": lambda volume, _: Tensor(volume),
    "slices": lambda volume, _: Sliced(volume),
    "open file": _open_file,
    "h5py": _hdf5,
    "dask": _dask,
    "torch": _torch,
    "jax": _jax,
    "tensorstore": _tensorstore,
    "tensorstore elsewhere": _tensorstore_elsewhere,
    "xarray": _labelled,
    "xarray of dask": _labelled_dask,
    "xarray of a file": _labelled_file,
    "zarr": _zarr,
}


@contextmanager
def an_array(kind: str, volume: np.ndarray, folder: Path) -> Iterator[Any]:
    """Array of a kind that holds a volume, until the block ends."""
    made = KINDS[kind](volume, folder)
    if isinstance(made, Iterator):
        yield next(made)
        next(made, None)
    else:
        yield made
