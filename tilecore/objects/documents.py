"""Metadata documents in an object store: they tell whether an image was changed without a look at all its chunks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tilecore.objects.store import AT_ONCE, ObjectStore
from tilecore.spreading import spread

__all__ = ["describe_documents", "in_order_of_removal", "is_visible"]

# Names of the documents of zarr and N5, and the one that repeats others of zarr's format 2.
_DOCUMENTS = ("zarr.json", ".zarray", ".zattrs", ".zgroup", "attributes.json")
_CONSOLIDATED = ".zmetadata"

# Attributes of zarr's format 2: they alone are no image, and without them one has no voxel size and no levels.
_ATTRIBUTES = ".zattrs"


def describe_documents(folders: Iterable[str]) -> dict[str, Any]:
    """Describe the metadata documents in some folders by their versions, as the store tells them.

    Parameters
    ----------
    folders : iterable of str
        URLs of the folders of one image.
    """
    stores = {url.rstrip("/"): ObjectStore(url) for url in folders}
    found: dict[str, list[str]] = {}

    def look(place: tuple[str, str]) -> None:
        url, name = place
        if (stamp := stores[url].stamp(name)) is not None:
            found[f"{url}/{name}"] = stamp

    spread(look, [(url, name) for url in stores for name in _DOCUMENTS], AT_ONCE)
    return {"documents": {name: found[name] for name in sorted(found)}}


def is_visible(names: Iterable[str]) -> bool:
    """Whether the names of objects in a folder tell that an image lies there."""
    return any(_makes_visible(name) for name in names)


def in_order_of_removal(keys: Iterable[str]) -> list[list[str]]:
    """Divide the keys of an image into those that are removed first, next, ...; written, it is in the reverse order.

    So an image is seen whole or not at all: its outermost documents come first, among them those that make it visible;
    then those in its inner folders; at last all other keys.
    """
    found: dict[tuple[int, bool], list[str]] = {}
    others = []
    for key in keys:
        name = key.rpartition("/")[2]
        if _makes_visible(name) or name == _ATTRIBUTES:
            found.setdefault((key.count("/"), name == _ATTRIBUTES), []).append(key)
        else:
            others.append(key)
    return [*(found[order] for order in sorted(found)), others]


def _makes_visible(name: str) -> bool:
    return name != _ATTRIBUTES and name in (*_DOCUMENTS, _CONSOLIDATED)
