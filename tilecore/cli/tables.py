"""Tables of points that a subcommand reads besides its image."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from tilecore.cli.arguments import check_exists

if TYPE_CHECKING:
    from tilecore.blobs.table import Blobs

__all__ = ["read_table"]


def read_table(name: str, path: Path, ndim: int, channels: Collection[int] | None) -> Blobs:
    """Read a table of points in an image.

    Parameters
    ----------
    name : str
        Argument that names the file, for messages.
    path : Path
        The file.
    ndim : int
        Number of axes of the image, without channels and time points.
    channels : collection of int, or None
        Numbers of the channels that were chosen: of a table of several channels, only their points are taken. None:
        none was chosen, and all points are taken.

    Raises
    ------
    MissingFileError
        If the file does not exist.
    ParameterError
        If the points have other axes than the image, or the suffix is unknown.
    UnreadableFileError
        If the file is no table of points.
    """
    import numpy as np

    from tilecore.blobs.reading import read_blobs
    from tilecore.errors import ParameterError

    check_exists(name, str(path))
    table = read_blobs(path)
    if table.ndim != ndim:
        raise ParameterError.of(name, str(path), f"has {table.ndim} axes, but the image has {ndim}")
    if channels is None or len(np.unique(table["channel"])) < 2:
        return table
    return table[np.isin(table["channel"], list(channels))]
