"""Colours, boxes and arrows that the figures share."""

from __future__ import annotations

import sys
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

#: From dark to light, so that they differ in grey, too; one colour for what the reader should look at.
DARK, MIDDLE, LIGHT, PALE, LOOK, GREY = "#1f4e79", "#6d9cc4", "#b9d2e8", "#e9f1f8", "#d9761a", "#7a7a7a"

_STYLE = {
    "font.size": 11,
    "font.family": "DejaVu Sans",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "svg.hashsalt": "tilecore",  # the same drawing gives the same file
}


def panels(width: float, height: float, columns: int = 1) -> tuple[Figure, Any]:
    """A figure with axes, or with several of them side by side."""
    plt.rcParams.update(_STYLE)  # the build has set them back
    return plt.subplots(1, columns, figsize=(width, height), layout="constrained")


def sheet(width: float, height: float) -> tuple[Figure, Any]:
    """An empty drawing, without axes; its unit is an inch."""
    plt.rcParams.update(_STYLE)
    figure = plt.figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.set_axis_off()
    return figure, axes


def box(axes: Any, corner: tuple[float, float], size: tuple[float, float], text: str = "", **look: Any) -> None:
    """A box with a text in its middle."""
    chosen = {"facecolor": PALE, "edgecolor": DARK, "linewidth": 1.2} | look
    size_of_text = chosen.pop("fontsize", 11)
    colour = chosen.pop("color", "black")
    shape = FancyBboxPatch(corner, *size, boxstyle="round,pad=0,rounding_size=0.06", **chosen)
    axes.add_patch(shape)
    middle = (corner[0] + size[0] / 2, corner[1] + size[1] / 2)
    axes.text(*middle, text, ha="center", va="center", fontsize=size_of_text, color=colour, linespacing=1.4)


def rectangle(axes: Any, y: tuple[float, float], x: tuple[float, float], **look: Any) -> None:
    """A rectangle between two rows and two columns of an image."""
    axes.add_patch(Rectangle((x[0], y[0]), x[1] - x[0], y[1] - y[0], **look))


def arrow(axes: Any, start: tuple[float, float], stop: tuple[float, float], **look: Any) -> None:
    """An arrow."""
    chosen = {"arrowstyle": "-|>", "mutation_scale": 14, "color": DARK, "linewidth": 1.4} | look
    axes.add_patch(FancyArrowPatch(start, stop, shrinkA=0, shrinkB=0, **chosen))


def save_if_asked(figure: Figure) -> None:
    """Write the figure to the path that the command line names: for pictures outside of the pages."""
    if len(sys.argv) > 1:
        figure.savefig(sys.argv[1], metadata={"Date": None}, facecolor="white")
