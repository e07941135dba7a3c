"""Metadata of all arrays of a group in one place, where xarray looks for them first."""

from __future__ import annotations

import json
from pathlib import Path

__all__ = ["consolidate"]


def consolidate(group: Path) -> None:
    """Write the metadata of all arrays of a group into one file; those that are there already may be of older arrays.

    zarr itself gives a warning for each group of its format 3, which threads cannot leave out one by one.

    Parameters
    ----------
    group : Path
        A group whose arrays lie directly in it.
    """
    document = group / "zarr.json"
    if not document.exists():
        import zarr

        zarr.consolidate_metadata(group, zarr_format=2)
        return
    arrays = {each.parent.name: json.loads(each.read_bytes()) for each in sorted(group.glob("*/zarr.json"))}
    told = {"kind": "inline", "must_understand": False, "metadata": arrays}
    document.write_text(json.dumps(json.loads(document.read_bytes()) | {"consolidated_metadata": told}, indent=2))
