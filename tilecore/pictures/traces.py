"""Pictures of recordings: the traces of some channels over time, one above the other."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tilecore.array_types import ReadableArray
from tilecore.errors import ParameterError
from tilecore.pictures.points import canvas
from tilecore.pictures.projections import check_drawable

__all__ = ["draw_traces", "envelope"]

# Columns of the picture in which a trace has a lowest and a highest value of its own.
_COLUMNS = 2000

# Numbers that are read at a time [byte].
_PIECE_BYTES = 2**25


def draw_traces(
    recording: ReadableArray,
    channels: Sequence[int],
    first: int,
    stop: int,
    path: str | os.PathLike[str],
    *,
    rate: float | None = None,
    names: Sequence[str] = (),
    unit: str = "",
) -> None:
    """Draw channels of a recording over time, one above the other.

    Parameters
    ----------
    recording : array_like, shape (observations, channels)
    channels : sequence of int
        From the top to the bottom.
    first, stop : int
        First observation, and the one after the last.
    path : path_like
        Path of the picture; its suffix chooses the format.
    rate : float, optional
        Observations a second [Hz]; time is then shown in seconds.
    names : sequence of str
        Of all channels; default: their numbers.
    unit : str
        Of the numbers.

    Raises
    ------
    MissingDependencyError
        If matplotlib is not installed.
    ParameterError
        If no channel or no observation is left, or the numbers are complex.

    Notes
    -----
    Where there are more observations than the picture has columns, each column shows the lowest and the highest value
    of its observations, so that no spike is missed. All traces have one scale.
    """
    from matplotlib.figure import Figure

    check_drawable(recording)
    if not channels or first >= stop:
        raise ParameterError(f"channels={list(channels)}, observations {first} to {stop}: there is nothing to draw")
    times, low, high = envelope(recording, channels, first, stop)
    seconds = times if rate is None else times / rate
    height = float((high - low).max()) or 1.0
    figure = Figure(figsize=(10, 1.2 + 0.5 * len(channels)), dpi=150, layout="constrained")
    canvas()(figure)
    axes = figure.add_subplot()
    for place in range(len(channels)):
        middle = (low[:, place].min() + high[:, place].max()) / 2
        lower, upper = ((each[:, place] - middle) / height - place for each in (low, high))
        style: dict[str, Any] = {"color": f"C{place % 10}", "linewidth": 0.6}
        axes.fill_between(seconds, lower, upper, **style)
        axes.plot(seconds, upper, **style)
    labels = [names[channel] if names else f"channel {channel}" for channel in channels]
    axes.set_yticks([-place for place in range(len(channels))], labels)
    axes.set_xlabel("observation" if rate is None else "time [s]")
    axes.set_xlim(seconds[0], seconds[-1] if len(seconds) > 1 else seconds[0] + 1)
    axes.set_title(f"from one trace to the next: {height:g} {unit}", fontsize=9, loc="right")
    figure.savefig(path)


def envelope(
    recording: ReadableArray, channels: Sequence[int], first: int, stop: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Find what is drawn of each channel.

    Returns
    -------
    times : ndarray, shape (n,)
        Observations at which values are drawn.
    low, high : ndarray, shape (n, channels)
        Lowest and highest value from there to the next one.
    """
    n_columns = min(stop - first, _COLUMNS)
    edges = first + np.arange(n_columns + 1) * (stop - first) // n_columns
    low, high = (np.empty((n_columns, len(channels))) for _ in range(2))
    a_time = max(1, _PIECE_BYTES // (int(recording.shape[1]) * np.dtype(recording.dtype).itemsize))
    at = 0
    while at < n_columns:
        end = max(at + 1, int(np.searchsorted(edges, edges[at] + a_time, side="right")) - 1)
        rows = slice(int(edges[at]), int(edges[end]))
        piece = np.asarray(recording[rows, slice(None)])[:, list(channels)]
        starts = edges[at:end] - edges[at]
        low[at:end], high[at:end] = np.minimum.reduceat(piece, starts), np.maximum.reduceat(piece, starts)
        at = end
    return edges[:-1].astype(np.float64), low, high
