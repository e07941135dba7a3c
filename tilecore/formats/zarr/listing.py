"""Listing of the arrays and images that the groups of a zarr store hold."""

from __future__ import annotations

from collections.abc import Iterator

from tilecore.errors import TilecoreError, UnreadableFileError
from tilecore.formats.image_info import ImageInfo
from tilecore.formats.zarr.metadata import parse_array
from tilecore.formats.zarr.ome import image_at, images_at, is_collection
from tilecore.formats.zarr.reader import info_of_array
from tilecore.formats.zarr.stores import Store

__all__ = ["images_in"]

_DOCUMENTS = ("zarr.json", ".zarray", ".zgroup")

#: Folder of an image or array, its number if the folder has several, and what it is, or why that cannot be known.
Found = tuple[str, int | None, ImageInfo | TilecoreError]


def images_in(store: Store, folder: str = "") -> Iterator[Found]:
    """Find the arrays and OME-Zarr images in a folder of a store, and in the groups below it.

    The levels of an image's pyramid are not listed, but its labels are.
    """
    try:
        array = parse_array(store, folder)
        n_images = 0 if array is not None else images_at(store, folder)
        if array is not None:
            yield folder, None, info_of_array(array)
            return
        for number in range(n_images):
            yield folder, number if n_images > 1 else None, _info(store, folder, number)
        numbered = is_collection(store, folder)
    except TilecoreError as error:
        yield folder, None, error
        return
    for name in ["labels"] if n_images else store.children(folder):
        inner = f"{folder}{name}/"
        if any(store.get(inner + each) is not None for each in _DOCUMENTS):
            found = images_in(store, inner)
            # The images of such a collection have numbers, also where the store is a zip file.
            is_image = numbered and name.isdigit()
            yield from (
                (folder, int(name), info) if is_image and at == inner else (at, n, info) for at, n, info in found
            )


def _info(store: Store, folder: str, number: int) -> ImageInfo:
    image = image_at(store, folder, number)
    finest = parse_array(store, image.folder_of(0))
    if finest is None:
        raise UnreadableFileError(f"{store.root}/{folder} lacks the array {image.paths[0]} that its metadata names")
    return ImageInfo(f"OME-Zarr {image.version}", finest.shape, finest.dtype.newbyteorder("="), image.axes)
