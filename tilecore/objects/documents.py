"""Metadata documents in an object store: they tell whether an image was changed without a look at all its chunks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tilecore.objects.store import AT_ONCE, ObjectStore
from tilecore.spreading import spread

__all__ = ["DOCUMENTS", "describe_documents"]

#: Names of the documents of zarr and N5.
DOCUMENTS = ("zarr.json", ".zarray", ".zattrs", ".zgroup", "attributes.json")


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

    spread(look, [(url, name) for url in stores for name in DOCUMENTS], AT_ONCE)
    return {"documents": {name: found[name] for name in sorted(found)}}
