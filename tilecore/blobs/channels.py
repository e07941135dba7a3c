"""Channels of a source, each as a volume of its own with the axes z, y, x."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from tilecore.array_types import OneSource, ReadableArray
from tilecore.engine.inputs import Inputs
from tilecore.errors import ParameterError
from tilecore.formats.arranged import arranged
from tilecore.formats.axes import as_axes, guessed_axes, known_axes
from tilecore.formats.labels import told_axes
from tilecore.geometry.per_axis import as_integer

__all__ = ["Channels", "channels_of"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Channels:
    """The channels of a source that are searched.

    Attributes
    ----------
    volumes : dict
        Volumes of two or three axes, in the order z, y, x, by the channel's number in the file; 0 if it has none.
    axes : str
        Letters of the axes of space, in the source's own order.
    guess : str, optional
        What the axes of the source were taken for, if nobody says which of them are channels or time points.
    """

    volumes: dict[int, Any]
    axes: str
    guess: str | None


def channels_of(
    source: OneSource, channel: int | str | None, time: int | None = None, axes: str | None = None
) -> Channels:
    """Return the volumes of a source's channels, of all or of one, at one time point.

    Parameters
    ----------
    source : array_like
        The source. Its attribute ``axes``, such as ``"TZCYX"``, or its labels tell which axes are channels and
        time points. Without them, or if it is a guess, the axes are guessed from the shape; if
        `channel` is given, the last of two or three axes holds channels.
    channel : int, str or None
        Number or name of the channel; None: all channels.
    time : int or None
        Number of the time point; None if there is only one.
    axes : str, optional
        Letters of the axes, if the source does not tell them or is wrong.

    Raises
    ------
    ParameterError
        If the channel or time point does not exist, or the remaining axes are not two or three.
    """
    inputs = Inputs.of(source)
    (array,), info = inputs.arrays, inputs.info
    letters, is_guess = _letters(source, tuple(array.shape), channel, axes)
    chosen = _at_time(array, letters, time)
    spatial = "".join([letter for letter in letters if letter not in "TC"])
    if len(spatial) not in (2, 3):
        raise ParameterError.of("source", tuple(array.shape), "must have two or three axes, and channels or not")
    guess = letters if is_guess and spatial != letters else None
    if guess:
        _log.warning("the axes of the source, of shape %s, have no names: taken for %s", tuple(array.shape), letters)
    if "C" not in letters:
        only = getattr(source, "channel", None) or 0  # of a file that was opened with one channel
        if channel not in (None, only):
            raise ParameterError.of("channel", channel, f"the source has no channels but {only}")
        return Channels({only: _in_order(array, letters, chosen)}, spatial, guess)
    axis = letters.index("C")
    n_channels, names = int(array.shape[axis]), [] if info is None else list(info.channel_names)
    numbers = range(n_channels) if channel is None else [_number(channel, names, n_channels)]
    volumes = {number: _in_order(array, letters, chosen | {axis: number}) for number in numbers}
    return Channels(volumes, spatial, guess)


def _in_order(array: ReadableArray, axes: str, chosen: dict[int, int] | None = None) -> Any:
    """Arrange an array's axes as z, y, x; other axes of space, of an unknown name, stay as they are."""
    kept = [axis for axis in range(len(axes)) if axis not in (chosen or {})]
    if {axes[axis] for axis in kept} <= set("ZYX"):
        kept.sort(key=lambda axis: "ZYX".index(axes[axis]))
    return arranged(array, kept, chosen)


def _letters(source: object, shape: tuple[int, ...], channel: int | str | None, given: str | None) -> tuple[str, bool]:
    """Letters of the axes, and whether they are a guess."""
    if given is not None:
        return known_axes(as_axes(given, len(shape))), False
    if (told := told_axes(source)) is not None:
        return told, False
    if channel is not None and len(shape) < len("ZYXC"):
        return "ZYXC"[-len(shape) :], True
    return guessed_axes(shape), True


def _at_time(array: ReadableArray, axes: str, time: int | None) -> dict[int, int]:
    """Position on the axis of time, if there is one."""
    if "T" not in axes:
        if time not in (None, 0):
            raise ParameterError.of("time", time, "the source has no times")
        return {}
    axis = axes.index("T")
    n_times = int(array.shape[axis])
    if time is None and n_times != 1:
        raise ParameterError.of("time", None, f"the source has {n_times} time points: choose one with time=")
    chosen = 0 if time is None else as_integer(time, "time")
    if not 0 <= chosen < n_times:
        raise ParameterError.of("time", time, f"the source has {n_times} time points")
    return {axis: chosen}


def _number(channel: int | str, names: list[str], n_channels: int) -> int:
    if isinstance(channel, str):
        if channel not in names:
            raise ParameterError.of(
                "channel", channel, f"the source has {names}" if names else "the source has no names"
            )
        return names.index(channel)
    number = as_integer(channel, "channel")
    if not 0 <= number < n_channels:
        raise ParameterError.of("channel", channel, f"the source has {n_channels} channels, numbered from 0")
    return number
