"""A recording: observations of many channels over time, with its rate and what its channels are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tilecore.array_types import ArrayIndex, ReadableArray
from tilecore.arrays.access import Access
from tilecore.arrays.kinds import access_of
from tilecore.errors import BoundsError, ParameterError, ParameterTypeError
from tilecore.formats.recorded import Recorded
from tilecore.recordings.durations import TimeLike, as_observations
from tilecore.recordings.excerpt import Excerpt
from tilecore.recordings.joined import close_array
from tilecore.recordings.microvolts import Microvolts

__all__ = ["Recording"]


@dataclass(frozen=True, eq=False)
class Recording:
    """Observations of many channels over time, indexed as ``recording[observations, channels]``.

    Made by `open_recording`.

    Attributes
    ----------
    array : array_like, shape (observations, channels)
        The numbers, or the voltages that they stand for.
    rate : float or None
        Observations a second, if they are known [Hz].
    channel_names : tuple of str
        Empty if they are not known.
    gains_uv : tuple of (float or None)
        Microvolts that each channel's 1 stands for [uV]; None of a channel that is no voltage. Empty if they are not
        known.
    in_channels : bool
        Whether the file keeps the observations of a channel beside each other.
    is_in_uv : bool
        Whether the numbers are microvolts.

    Notes
    -----
    Process-safety: pickles as its file's name; each process opens the file for itself.
    """

    array: ReadableArray
    rate: float | None = None
    channel_names: tuple[str, ...] = ()
    gains_uv: tuple[float | None, ...] = ()
    in_channels: bool = False
    is_in_uv: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """Number of observations and of channels."""
        n_observations, n_channels = self.array.shape
        return int(n_observations), int(n_channels)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Kind of number."""
        dtype: np.dtype[Any] = np.dtype(self.array.dtype)
        return dtype

    @property
    def seconds(self) -> float | None:
        """How long it is [s], if the rate is known."""
        return None if self.rate is None else self.shape[0] / self.rate

    @property
    def access(self) -> Access:
        """How workers reach it."""
        return access_of(self.array)

    def in_uv(self) -> Recording:
        """The same recording in microvolts, as numbers of 32 bits with a point; they are converted as they are read.

        Raises
        ------
        ParameterError
            If the gains are not known.
        """
        if self.is_in_uv:
            return self
        if not self.gains_uv:
            raise ParameterError("the recording does not say what its numbers stand for: give gains_uv=")
        return replace(self, array=Microvolts(self.array, self.gains_uv), gains_uv=(), is_in_uv=True)

    def observation_at(self, time: TimeLike, name: str = "time") -> int:
        """Number of the observation at a time, or the number of observations in a length of time.

        Parameters
        ----------
        time : int, str, timedelta or timedelta64
            A number of observations stays; ``"5 ms"`` is converted by the rate.
        name : str
            The parameter's name, for the error message.

        Raises
        ------
        ParameterError, ParameterTypeError
            If it is neither, is negative, or is a time and the rate is not known.
        """
        return as_observations(time, self.rate, name)

    def excerpt(self, first: int, stop: int, channels: tuple[int, ...]) -> Excerpt:
        """Some time and some channels, with all that lies around them."""
        names = tuple([self.channel_names[channel] for channel in channels]) if self.channel_names else ()
        gains = tuple([self.gains_uv[channel] for channel in channels]) if self.gains_uv else ()
        recorded = Recorded(self.rate, gains, self.is_in_uv)
        return Excerpt(self.array, first, stop, channels, self.in_channels, names=names, recorded=recorded)

    def close(self) -> None:
        """Close the file; it is opened again when something is read."""
        close_array(self.array)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: ArrayIndex) -> npt.NDArray[Any]:
        """Read observations of channels.

        Parameters
        ----------
        key : (index, index)
            Observations and channels, each a whole number, a slice, a list of numbers or a mask; each axis on its own.

        Raises
        ------
        BoundsError
            If there is no such observation or channel.
        ParameterError, ParameterTypeError
            If it is no such index.
        """
        rows, columns = key if isinstance(key, tuple) and len(key) == 2 else (key, slice(None))
        if rows is Ellipsis or (isinstance(key, tuple) and len(key) != 2):
            raise ParameterError.of("key", key, "recording[observations, channels] is needed")
        lines, channels = _numbers(rows, self.shape[0]), _numbers(columns, self.shape[1])
        first, stop = (min(lines), max(lines) + 1) if len(lines) else (0, 0)
        block = self.excerpt(first, stop, tuple(channels))[:, :]
        chosen = slice(None, None, lines.step) if isinstance(lines, range) else np.array(lines, np.intp) - first
        drop = [0 if isinstance(each, (int, np.integer)) else slice(None) for each in (rows, columns)]
        selected: npt.NDArray[Any] = block[chosen][tuple(drop)]
        return selected

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.asarray(self[:], dtype=dtype)


def _numbers(key: object, length: int) -> Sequence[int]:
    """Which observations or channels a key asks for."""
    if isinstance(key, slice):
        return range(length)[key]
    numbers = np.asarray(key)
    if numbers.dtype == bool and numbers.shape == (length,):
        return [int(each) for each in np.flatnonzero(numbers)]
    if numbers.size and (numbers.dtype.kind not in "iu" or numbers.ndim > 1):
        raise ParameterTypeError.of("key", key, "a whole number, a slice, a list of numbers, or a mask of all")
    if any(not -length <= each < length for each in numbers.flat):
        raise BoundsError.of("key", key, f"there are {length}")
    return [int(each) % length for each in numbers.flat]
