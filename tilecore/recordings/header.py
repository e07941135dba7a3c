"""What an acquisition system says about a recording, whichever system it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tilecore.errors import MissingFileError, UnreadableFileError
from tilecore.formats.raw_layout import Layout

__all__ = ["RecordingHeader", "as_positive"]


@dataclass(frozen=True)
class RecordingHeader:
    """A recording's file of numbers, and what the numbers mean.

    Attributes
    ----------
    data : Path
        File with the numbers.
    layout : Layout
        How the numbers lie in it.
    rate : float
        Observations a second [Hz].
    channel_names : tuple of str
        In the order of the file, as the next one.
    gains_uv : tuple of (float or None)
        What one unit of the channel's numbers is [uV]; None where the channel is no voltage, such as a sync word.
    """

    data: Path
    layout: Layout
    rate: float
    channel_names: tuple[str, ...]
    gains_uv: tuple[float | None, ...]

    @classmethod
    def of(
        cls, told_by: Path, data: Path, rate: float, names: Sequence[str], gains_uv: Sequence[float | None]
    ) -> RecordingHeader:
        """Describe a file of 16-bit numbers, in which all channels of one observation follow each other.

        Parameters
        ----------
        told_by : Path
            File that says the rest; errors name it.
        data, rate, names, gains_uv
            As of the class.

        Raises
        ------
        MissingFileError
            If there are no data.
        UnreadableFileError
            If there are no channels, a gain is impossible, or the data end in the middle of an observation.
        """
        if not names:
            raise UnreadableFileError(f"{told_by} tells of no channels: a recording has at least one")
        for name, gain in zip(names, gains_uv, strict=True):
            if gain is not None and not 0 < gain < math.inf:
                raise UnreadableFileError(f"{told_by}: channel {name!r} would have {gain} uV a unit: it is damaged")
        if not data.is_file():
            raise MissingFileError(f"{data}: there is no such file; {told_by} tells of it")
        layout = Layout(np.dtype("<i2"), len(names), "samples")
        size, unit = data.stat().st_size, layout.n_channels * layout.dtype.itemsize
        if size % unit:
            raise UnreadableFileError(
                f"{data} has {size} bytes, which is no whole number of observations: {told_by} tells of "
                f"{len(names)} channels, which take {unit} bytes at a time. Copy the files again, or cut off the last "
                f"{size % unit} bytes"
            )
        return cls(data, layout, rate, tuple(names), tuple(gains_uv))


def as_positive(value: float | str, place: str) -> float:
    """Accept a number above zero, also as text.

    Parameters
    ----------
    value : float or str
    place : str
        File and key that it comes from, for the message.

    Raises
    ------
    UnreadableFileError
        If it is something else.
    """
    try:
        number = float(value)
    except (ValueError, OverflowError):
        number = math.nan
    if not 0 < number < math.inf:
        raise UnreadableFileError.of(place, value, "a number above zero is needed; the file is damaged")
    return number
