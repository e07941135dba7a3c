"""What the calls before a run tell: time and memory of a call, whatever its size, and for each voxel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tilecore.engine.measuring import Measurement

__all__ = ["TELLING_VOXELS", "Findings"]

# Factor by which a first call is slower than the second if it did work that no other call repeats.
_SLOWER = 1.25
# Relative difference between the times of two equal calls.
_DOUBT = 0.05
# Smallest block, and smallest memory of a first call, that tell the function's own memory. Smaller values are lost
# in the memory of the process, and in pages of libraries that are used for the first time.
TELLING_VOXELS = 2**15
_CALL_BYTES = 2**25
# Largest memory of imported modules; memory that the first call keeps beyond it is data, such as a model.
_MODULES_BYTES = 2**28


@dataclass(frozen=True, slots=True)
class Findings:
    """Measurements of the calls before the run.

    Attributes
    ----------
    calls : tuple of Measurement
        Measurements in the order of the calls, on larger and larger blocks.
    """

    calls: tuple[Measurement, ...]

    @property
    def dtypes(self) -> tuple[np.dtype[Any], ...]:
        """Data types of the arrays that the function returns."""
        return self.calls[-1].dtypes

    @property
    def first_tells_nothing(self) -> bool:
        """Whether the first call did work that no other call repeats: it took longer than the second."""
        return len(self.calls) > 1 and self.calls[0].seconds > self.calls[1].seconds * _SLOWER

    @property
    def memory_is_unclear(self) -> bool:
        """Whether two calls used much memory, so that it is unclear if blocks or modules needed it."""
        peaks = [call.peak_bytes or 0 for call in self.calls]
        return len(peaks) == 2 and min(peaks) >= _CALL_BYTES

    @property
    def seconds_per_decoded_voxel(self) -> float | None:
        """Time to read and decode a voxel of the source's chunks [s]; None if it is not stored in chunks."""
        return min((call.read_seconds / call.n_decoded for call in self.calls if call.n_decoded), default=None)

    def seconds(self) -> tuple[float, float]:
        """Fixed time of a call, and time for each voxel [s]."""
        small, large = self._ends(self.calls[self.first_tells_nothing or len(self.calls) > 2 :])
        per_voxel = 0.0
        if large.n_voxels > small.n_voxels:
            more = large.seconds * (1 - _DOUBT) - small.seconds * (1 + _DOUBT)
            per_voxel = max(more / (large.n_voxels - small.n_voxels), 0.0)
        return max(min(call.seconds - per_voxel * call.n_voxels for call in self.calls), 0.0), per_voxel

    def bytes(self, least: float, guess: float) -> tuple[float, float]:
        """Fixed memory of a call, and memory for each voxel [byte].

        Parameters
        ----------
        least, guess : float
            Least memory of a voxel, and a guess if blocks are too small to measure it.
        """
        small, large = self._ends(self.calls[len(self.calls) > 2 :])
        peak, base, per_voxel = large.peak_bytes or 0, small.peak_bytes or 0, least
        if not peak or large.n_voxels < TELLING_VOXELS:
            peak, per_voxel = max(peak - _CALL_BYTES, 0), max(least, guess)
        elif small is large:  # one large block, as of a large write unit: its voxels share all memory
            per_voxel = max(least, peak / large.n_voxels)
        if small is self.calls[0] and min(base, peak) < _CALL_BYTES:
            base = 0
        if large.n_voxels > small.n_voxels:
            per_voxel = max(per_voxel, (peak - base) / (large.n_voxels - small.n_voxels))
        return max(peak - per_voxel * large.n_voxels, 0.0) + self._kept(), per_voxel

    @staticmethod
    def _ends(calls: Sequence[Measurement]) -> tuple[Measurement, Measurement]:
        """Measurements of the smallest and of the largest block."""
        ordered = sorted(calls, key=lambda call: call.n_voxels)
        return ordered[0], ordered[-1]

    def _kept(self) -> int:
        """Memory that the first call kept for ever, if it is more than modules need [byte]."""
        before, after = self.calls[0].before_bytes, self.calls[min(1, len(self.calls) - 1)].before_bytes
        kept = 0 if before is None or after is None else after - before
        return kept if kept > _MODULES_BYTES else 0
