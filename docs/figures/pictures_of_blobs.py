"""Shared by figures that show what ``tilecore blobs --picture`` draws."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

from tilecore import Blobs
from tilecore.pictures.points import draw_blobs


def show(volume: Any, blobs: Blobs, width: float) -> None:
    """Show the picture of a volume and its blobs, so many inches wide."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "blobs.png"
        draw_blobs(volume, blobs, path)
        picture = plt.imread(path)
    height, across = picture.shape[:2]
    figure = plt.figure(figsize=(width, width * height / across))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(picture, interpolation="lanczos")
    axes.set_axis_off()
