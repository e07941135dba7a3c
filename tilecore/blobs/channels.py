"""Channels of a source, each as a volume of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tilecore.engine.sources import open_sources
from tilecore.errors import ParameterError
from tilecore.geometry.axes import as_integer

__all__ = ["channels_of"]


def channels_of(source: Any, channel: int | None) -> dict[int, Any]:
    """Cut a source into its channels, or the one asked for.

    Parameters
    ----------
    source : array_like
        If it has an attribute ``axes``, such as ``"CZYX"``, that says where its channels are;
        otherwise they are the last of four axes, or of any number if a channel is asked for.
    channel : int or None

    Returns
    -------
    dict
        Volumes of two or three axes by their channel; 0 for a source without channels.

    Raises
    ------
    ParameterError
        If there is no such channel, or what is left has another number of axes.
    """
    (array,) = open_sources(source)
    ndim = len(array.shape)
    axes = getattr(source, "axes", None)
    last = ndim - 1 if ndim == 4 or channel is not None else -1
    axis = axes.find("C") if isinstance(axes, str) else last
    if ndim - (axis >= 0) not in (2, 3):
        raise ParameterError.of("source", tuple(array.shape), "two or three axes, and channels, are needed")
    if axis < 0:
        if channel not in (None, 0):
            raise ParameterError.of("channel", channel, "the source has no channels")
        return {0: array}
    numbers = range(array.shape[axis]) if channel is None else [as_integer(channel, "channel")]
    if not all(0 <= number < array.shape[axis] for number in numbers):
        raise ParameterError.of("channel", channel, f"the source has {array.shape[axis]}")
    return {number: _one(array, axis, number) for number in numbers}


def _one(array: Any, axis: int, number: int) -> Any:
    if isinstance(array, np.ndarray):
        return array[(slice(None),) * axis + (number,)]
    return _Channel(array, axis, number)


@dataclass(frozen=True)
class _Channel:
    """One channel of a source that is not in memory: travels as the source does."""

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

    def __getitem__(self, slices: Any) -> Any:
        items = slices if isinstance(slices, tuple) else (slices,)
        return self.source[(*items[: self.axis], self.number, *items[self.axis :])]

    def _without(self, lengths: Any) -> tuple[int, ...]:
        return tuple(lengths[: self.axis]) + tuple(lengths[self.axis + 1 :])
