"""The bar in a picture that tells how long something is."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_scale_bar"]


def draw_scale_bar(axes: Axes, extent: float, voxel: float, unit: str) -> None:
    """Draw a scale bar of a round length, about a sixth of the picture's width; none if shorter than a voxel."""
    rough = extent / 6
    if rough < voxel:
        return
    power = 10.0 ** math.floor(math.log10(rough))
    length = max(step * power for step in (1, 2, 5) if step * power <= rough)
    left, bottom = axes.get_xlim()[0], axes.get_ylim()[0]
    height = abs(axes.get_ylim()[0] - axes.get_ylim()[1])
    start, y = left + 0.03 * extent, bottom - 0.03 * height
    outline: dict[str, Any] = {"color": "black", "linewidth": 6, "solid_capstyle": "butt"}
    axes.plot([start, start + length], [y, y], **outline)
    axes.plot([start, start + length], [y, y], **{**outline, "color": "white", "linewidth": 3.5})
    axes.annotate(
        f"{length:g} {unit}",
        (start + length / 2, y),
        xytext=(0, 5),
        textcoords="offset points",
        color="white",
        ha="center",
        fontsize=9,
        bbox={"facecolor": "black", "alpha": 0.6, "pad": 1, "edgecolor": "none"},
    )
