"""Channels of a source, each as its own volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tilecore.array_types import OneSource, ReadableArray
from tilecore.engine.inputs import Inputs
from tilecore.errors import ParameterError
from tilecore.geometry.per_axis import as_integer

__all__ = ["channels_of"]


def channels_of(source: OneSource, channel: int | str | None, time: int | None = None) -> dict[int, Any]:
    """Return the volumes of a source's channels, of all or of one, at one time point.

    Parameters
    ----------
    source : array_like
        The source. Its attribute ``axes``, such as ``"TZCYX"``, tells which axes are channels and
        time points. Without this attribute, channels are the last of four axes, or the last of
        any number of axes if `channel` is given.
    channel : int, str or None
        Number or name of the channel; None: all channels.
    time : int or None
        Number of the time point; None if there is only one.

    Returns
    -------
    dict
        Volumes of two or three axes, by channel number; 0 for a source without channels.

    Raises
    ------
    ParameterError
        If the channel or time point does not exist, or the remaining axes are not two or three.
    """
    (array,) = Inputs.of(source).arrays
    ndim = len(array.shape)
    axes = getattr(source, "axes", None)
    if not isinstance(axes, str):
        axes = "".join("C" if axis == ndim - 1 and (ndim == 4 or channel is not None) else "." for axis in range(ndim))
    array, axes = _at_time(array, axes, time)
    if len(axes) - ("C" in axes) not in (2, 3):
        raise ParameterError.of("source", tuple(array.shape), "must have two or three axes, and channels or not")
    if "C" not in axes:
        if channel not in (None, 0):
            raise ParameterError.of("channel", channel, "the source has no channels")
        return {0: array}
    axis = axes.index("C")
    n_channels = int(array.shape[axis])
    numbers = range(n_channels) if channel is None else [_number(channel, source, n_channels)]
    return {number: _one(array, axis, number) for number in numbers}


def _at_time(array: ReadableArray, axes: str, time: int | None) -> tuple[Any, str]:
    if "T" not in axes:
        if time not in (None, 0):
            raise ParameterError.of("time", time, "the source has no times")
        return array, axes
    axis = axes.index("T")
    n_times = int(array.shape[axis])
    if time is None and n_times != 1:
        raise ParameterError.of("time", None, f"the source has {n_times} time points: choose one with time=")
    chosen = 0 if time is None else as_integer(time, "time")
    if not 0 <= chosen < n_times:
        raise ParameterError.of("time", time, f"the source has {n_times} time points")
    return _one(array, axis, chosen), axes[:axis] + axes[axis + 1 :]


def _number(channel: int | str, source: object, n_channels: int) -> int:
    names = list(getattr(getattr(source, "info", None), "channel_names", ()))
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


def _one(array: ReadableArray, axis: int, number: int) -> ReadableArray:
    if isinstance(array, np.ndarray):
        return array[(slice(None),) * axis + (number,)]
    return _Channel(array, axis, number)


@dataclass(frozen=True)
class _Channel:
    """One channel of a source that is not in memory; it is sent to workers as the source is."""

    source: Any
    axis: int
    number: int

    @property
    def shape(self) -> tuple[int, ...]:
        return self._without(self.source.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        dtype: np.dtype[Any] = np.dtype(self.source.dtype)
        return dtype

    @property
    def chunks(self) -> tuple[int, ...] | None:
        chunks = getattr(self.source, "chunks", None)
        return None if chunks is None else self._without(chunks)

    def __getitem__(self, slices: tuple[slice, ...]) -> Any:
        items = slices if isinstance(slices, tuple) else (slices,)
        return self.source[(*items[: self.axis], self.number, *items[self.axis :])]

    def _without(self, lengths: Sequence[int]) -> tuple[int, ...]:
        return tuple(lengths[: self.axis]) + tuple(lengths[self.axis + 1 :])
