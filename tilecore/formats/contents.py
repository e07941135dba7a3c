"""What a file holds: the arrays of a zarr group, the datasets of HDF5 and N5, the series of a TIFF file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tilecore.errors import TilecoreError
from tilecore.formats.axes import guessed_axes, known_axes
from tilecore.formats.image_info import ImageInfo
from tilecore.formats.kinds import split_place
from tilecore.formats.opening import kind_of_path
from tilecore.formats.reader_errors import as_path, reading

__all__ = ["Item", "contents_of"]


@dataclass(frozen=True)
class Item:
    """One image, or another array of numbers, that a file holds.

    Attributes
    ----------
    path : str
        Path with which it is opened.
    series : int or None
        Number with which it is opened; None if it needs none.
    shape : tuple of int
        Length of each axis [voxel].
    dtype : str
        Data type of the voxels.
    axes : str
        One letter for each axis.
    problem : str
        Why it cannot be opened; empty if it can.
    """

    path: str
    series: int | None = None
    shape: tuple[int, ...] = ()
    dtype: str = ""
    axes: str = ""
    problem: str = ""


def contents_of(path: str) -> list[Item]:
    """List what a file holds that `open_source` can open, one thing at a time; empty for kinds that hold one image.

    Raises
    ------
    MissingFileError, UnreadableFileError
        If the file does not exist, or is damaged as a whole.
    """
    name, _ = split_place(as_path(path))
    kind = kind_of_path(name)
    find = _FINDERS.get(kind)
    if find is None:
        return []
    with reading(name, kind):
        return list(find(name))


def _in_tiff(path: str) -> Iterator[Item]:
    from tilecore.formats.tiff.reader import images_in

    for number, info in enumerate(images_in(path)):
        yield _item(path, number, info)


def _in_hdf5(path: str) -> Iterator[Item]:
    from tilecore.formats.hdf5.reader import axes_of, datasets_of, find_dataset, import_h5py

    with import_h5py(path).File(path, "r") as file:
        for name, (dataset, dtype) in datasets_of(file).items():
            problem = ""
            if dtype is None or dtype.kind not in "biufc":
                problem = "only numbers can be read"
            else:
                try:
                    find_dataset(file, path, name)
                except TilecoreError as error:
                    problem = str(error)
            shape = tuple(map(int, dataset.shape or ()))
            axes = axes_of(dataset) or guessed_axes(shape)
            yield Item(f"{path}:/{name}", None, shape, "" if dtype is None else str(dtype), axes, problem)


def _in_zarr(path: str) -> Iterator[Item]:
    from tilecore.formats.zarr.listing import images_in
    from tilecore.formats.zarr.stores import ZipStore, open_store

    store = open_store(path)
    between = ":/" if isinstance(store, ZipStore) else os.sep
    for folder, series, info in images_in(store):
        yield _item(f"{path}{between}{folder.rstrip('/')}" if folder else path, series, info)


def _in_n5(path: str) -> Iterator[Item]:
    from tilecore.formats.zarr.n5 import datasets_in
    from tilecore.formats.zarr.stores import open_store

    for folder, info in datasets_in(open_store(path)):
        yield _item(os.path.join(path, folder).rstrip("/"), None, info)


def _item(place: str, series: int | None, info: ImageInfo | TilecoreError) -> Item:
    if isinstance(info, TilecoreError):
        return Item(place, series, problem=str(info))
    axes = known_axes(info.axes) or guessed_axes(info.shape)
    return Item(place, series, info.shape, str(info.dtype), axes)


_FINDERS: dict[str, Callable[[str], Iterator[Item]]] = {
    "tiff": _in_tiff,
    "hdf5": _in_hdf5,
    "n5": _in_n5,
    "zarr": _in_zarr,
    "ome-zarr": _in_zarr,
}
