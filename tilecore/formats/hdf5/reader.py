"""Reader of HDF5 datasets, by h5py."""

from __future__ import annotations

import contextlib
import os
import types
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tilecore.errors import ParameterError, UnreadableFileError
from tilecore.extras import needs_extra
from tilecore.formats.hdf5.regions import read_dataset
from tilecore.formats.image_info import ImageInfo, position_um, positive_size
from tilecore.formats.reader_errors import inside, reading
from tilecore.formats.recorded import Recorded
from tilecore.geometry.boxes import Box
from tilecore.geometry.chunks_in_box import check_chunk_size

if TYPE_CHECKING:
    import h5py

__all__ = ["Hdf5Reader", "axes_of", "datasets_of", "find_dataset", "import_h5py", "open_hdf5"]


def open_hdf5(path: str, *, dataset: str = "") -> Hdf5Reader:
    """Open a dataset of an HDF5 file; without a name, its only dataset of two or more axes, or its only one at all."""
    h5py = import_h5py(path)
    with reading(path, "HDF5"):
        file = h5py.File(path, "r")
        try:
            return Hdf5Reader(file, path, dataset or _only_image(file, path))
        except BaseException:
            file.close()
            raise


def import_h5py(path: str) -> types.ModuleType:
    """Import h5py, and the filters of hdf5plugin if it is installed.

    Raises
    ------
    MissingDependencyError
        If h5py is not installed.
    """
    try:
        import h5py
    except ImportError as error:
        raise needs_extra(path, "h5py", "hdf5") from error
    with contextlib.suppress(ImportError):
        import hdf5plugin  # noqa: F401  registers further filters
    module: types.ModuleType = h5py
    return module


class Hdf5Reader:
    """Reader of one dataset of an HDF5 file.

    Parameters
    ----------
    file : h5py.File
        The open file.
    path : str
        Path of the file.
    dataset : str
        Name of the dataset in the file.
    """

    mapped = None

    def __init__(self, file: h5py.File, path: str, dataset: str) -> None:
        self._path, self._file = path, file
        self._dataset = found = find_dataset(file, path, dataset)
        self._finalizer = weakref.finalize(self, file.close)
        dtype, shape = np.dtype(found.dtype), tuple(map(int, found.shape))
        self.info = ImageInfo(
            "hdf5",
            shape,
            dtype,
            axes_of(found),
            positive_size(found.attrs.get("element_size_um", ())),
            tuple(map(str, found.attrs.get("channel_names", ()))),
            found.chunks,
            found.chunks,
            found.compression or "none",
            (shape,),
            position_um(found.attrs.get("origin_um", ())) or (0.0, 0.0, 0.0),
            recorded=Recorded.of(found.attrs, shape[-1] if shape else None),
        )

    def verify(self) -> None:
        """Look for the filters that the chunks need; the library checks the file's size when it opens it."""
        h5py = import_h5py(self._path)
        creation = self._dataset.id.get_create_plist()
        filters = [creation.get_filter(number) for number in range(creation.get_nfilters())]
        for number, _, _, name in filters:
            if not h5py.h5z.filter_avail(number):
                codec = os.fsdecode(name) or f"number {number}"
                raise needs_extra(f"{self._path}, compressed with the filter {codec},", "hdf5plugin", "hdf5")

    def read(self, box: Box) -> npt.NDArray[Any]:
        """Read a box."""
        result = np.empty(box.shape, self.info.dtype)
        self.read_into(box, result)
        return result

    def read_into(self, box: Box, out: npt.NDArray[Any]) -> None:
        """Read a box into an array."""
        read_dataset(self._dataset, self._path, box, out)


def find_dataset(file: h5py.File, path: str, name: str) -> h5py.Dataset:
    """Return a dataset of an open file that can be read safely.

    Raises
    ------
    ParameterError
        If there is no such dataset.
    UnreadableFileError
        If its voxels lie outside the file's folder or are missing, or its chunks are too large.
    """
    _refuse_links(file, path, name)
    found = file.get(name)
    if found is None or not hasattr(found, "chunks"):
        there = ", ".join(_with_numbers(file)) or "none"
        raise ParameterError.of("path", f"{path}:/{name}", f"this is not a dataset; the file has {there}")
    if found.shape is None:
        raise UnreadableFileError(f"{path}:/{name} has no elements, not even a shape: it cannot be read")
    _refuse_outside(found, path)
    if found.chunks is not None and found.dtype.kind in "biufc":
        check_chunk_size(found.chunks, found.dtype, f"{path}:/{name}")
    return found


def axes_of(dataset: h5py.Dataset) -> str:
    """One letter for each axis of a dataset: its labels, if they are letters; otherwise empty."""
    axes = "".join([dimension.label for dimension in dataset.dims]).upper()
    return axes if len(axes) == len(dataset.shape or ()) == len(set(axes)) and axes.isalpha() else ""


def _only_image(file: h5py.File, path: str) -> str:
    found = _with_numbers(file)
    names = [name for name, ndim in found.items() if ndim > 1] or list(found)
    if len(names) != 1:
        there = ", ".join(names) or "no numbers"
        raise ParameterError.of("path", path, f"choose a dataset, as in {path}:/NAME; the file has {there}")
    return names[0]


def datasets_of(file: h5py.File) -> dict[str, tuple[h5py.Dataset, np.dtype[Any] | None]]:
    """All datasets that lie in this file, by name, and their dtypes; None for a kind of element that numpy lacks."""
    found: dict[str, tuple[h5py.Dataset, np.dtype[Any] | None]] = {}

    def visit(name: str, item: h5py.Dataset) -> None:
        if hasattr(item, "chunks"):
            found[name] = item, None
            with contextlib.suppress(TypeError):
                found[name] = item, np.dtype(item.dtype)

    file.visititems(visit)
    return found


def _with_numbers(file: h5py.File) -> dict[str, int]:
    """Names of the datasets that hold numbers, and their number of axes."""
    return {
        name: len(dataset.shape)
        for name, (dataset, dtype) in datasets_of(file).items()
        if dataset.shape is not None and dtype is not None and dtype.kind in "biufc"
    }


def _refuse_links(file: h5py.File, path: str, dataset: str) -> None:
    """Refuse links to files outside the folder, before the library follows them."""
    group, parts = file, [part for part in dataset.split("/") if part]
    for number in range(len(parts)):
        link = group.get("/".join(parts[: number + 1]), getlink=True)
        filename = getattr(link, "filename", None)
        if filename is not None:
            _inside_folder(path, filename)


def _refuse_outside(dataset: h5py.Dataset, path: str) -> None:
    """Refuse datasets whose voxels lie in files outside the folder."""
    parts = [each.file_name for each in dataset.virtual_sources()] if dataset.is_virtual else []
    for name in [*parts, *[each[0] for each in dataset.external or ()]]:
        if name != ".":
            _inside_folder(path, name)
    for name in parts:
        if name != "." and not os.path.exists(os.path.join(os.path.dirname(path), name)):
            raise UnreadableFileError(f"{path}: its part {name} is missing")


def _inside_folder(path: str, name: str) -> None:
    folder = os.path.dirname(path)
    inside(folder, os.path.join(folder, os.fsdecode(name)))
