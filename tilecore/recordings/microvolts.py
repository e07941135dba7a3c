"""A recording's numbers as the voltages that they stand for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tilecore.array_types import ReadableArray
from tilecore.arrays.access import chunk_lengths
from tilecore.arrays.views import ViewAccess
from tilecore.recordings.joined import close_array

__all__ = ["Microvolts"]


@dataclass(frozen=True)
class Microvolts:
    """An array whose numbers are multiplied by the gain of their channel as they are read.

    Parameters
    ----------
    source : array_like, shape (observations, channels)
    gains_uv : tuple of (float or None)
        Microvolts that each channel's 1 stands for [uV]; None of a channel that is no voltage, whose numbers stay.

    Notes
    -----
    Process-safety: travels as the source does.
    """

    source: ReadableArray
    gains_uv: tuple[float | None, ...]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Kind of number: with 32 bits where those hold all digits of the source, as of numbers of 16 bits."""
        return np.result_type(self.source.dtype, np.float32)

    @property
    def chunks(self) -> tuple[int, ...] | None:
        """Shape of the source's chunks."""
        return chunk_lengths(self.source)

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of observations and of channels."""
        return self.source.shape

    @property
    def access(self) -> ViewAccess:
        """How workers reach it."""
        return ViewAccess(self)

    def describe(self) -> dict[str, Any]:
        """What tells it from other voltages of the same numbers."""
        return {"gains_uv": list(self.gains_uv)}

    def close(self) -> None:
        """Close the source's file."""
        close_array(self.source)

    def __getitem__(self, slices: tuple[slice, ...]) -> npt.NDArray[Any]:
        gains = [1.0 if gain is None else gain for gain in self.gains_uv[slices[1]]]
        voltages: npt.NDArray[Any] = np.multiply(self.source[slices], np.array(gains, self.dtype), dtype=self.dtype)
        return voltages
