"""Measurement of a call: its time and its peak memory, in the process where it runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from tilecore.machine import memory_status, return_freed_memory

__all__ = ["Measurement", "measured", "undisturbed"]

Blocks = TypeVar("Blocks")


@dataclass(frozen=True, slots=True)
class Measurement:
    """Time and memory of one call.

    Attributes
    ----------
    n_voxels : int
        Number of voxels in the block of the call.
    seconds : float
        Time of the call, without the time in which other processes used the core [s].
    peak_bytes : int or None
        Largest memory of the call, beyond the memory before it [byte]: the block, temporary
        arrays and the result. None if the system does not tell.
    before_bytes : int or None
        Memory of the process before the call [byte].
    dtypes : tuple of dtype
        Data types of the arrays that the call returned.
    read_seconds : float
        Time in which blocks were read: part of `seconds` if `n_decoded` is 0, otherwise in addition [s].
    n_decoded : int
        Number of voxels in the chunks that were decoded for the blocks; 0 if the source is not stored in chunks.
    """

    n_voxels: int
    seconds: float
    peak_bytes: int | None
    before_bytes: int | None = None
    dtypes: tuple[np.dtype[Any], ...] = ()
    read_seconds: float = 0.0
    n_decoded: int = 0


def measured(
    read: Callable[[], Blocks],
    call: Callable[[Blocks], object],
    n_voxels: int,
    dtypes: Callable[[object], tuple[np.dtype[Any], ...]],
) -> Measurement:
    """Read blocks, call a function with them, and measure the time and memory of both.

    `dtypes` tells the data types of the arrays in the function's result.
    """
    return_freed_memory()  # so that its memory is newly allocated: reused memory would not be seen
    before = _reset_peak()
    watch = _Stopwatch()
    blocks = read()
    read_seconds = watch.seconds()
    result = call(blocks)
    seconds = max(watch.seconds(), read_seconds)
    peak = memory_status("VmHWM")
    peak_bytes = None if before is None or peak is None else max(peak - before, 0)
    return Measurement(n_voxels, seconds, peak_bytes, before, dtypes(result), read_seconds)


class _Stopwatch:
    """Time of this thread since the object was made, as it would have been on an idle machine."""

    def __init__(self) -> None:
        self._start, self._waited, self._processor = time.perf_counter(), _waited(), time.thread_time()

    def seconds(self) -> float:
        elapsed, processor = time.perf_counter() - self._start, time.thread_time() - self._processor
        return undisturbed(elapsed, processor, None if self._waited is None else (_waited() or 0.0) - self._waited)


def undisturbed(elapsed: float, processor: float, waited: float | None) -> float:
    """Estimate the time that a call would have taken on an idle machine [s].

    Parameters
    ----------
    elapsed, processor : float
        Time that passed, and processor time of the thread [s].
    waited : float or None
        Time that the thread waited for a core [s]; None if the system does not tell.
    """
    if waited is not None:
        return max(elapsed - waited, processor)
    return processor if processor > elapsed / 2 else elapsed  # a sleeping call uses no processor and waits for none


def _waited() -> float | None:
    """Time that this thread has waited for a core so far [s]; None if the system does not tell."""
    try:
        _, waited, _ = Path("/proc/thread-self/schedstat").read_text().split()
    except (OSError, ValueError):
        return None
    return int(waited) * 1e-9


def _reset_peak() -> int | None:
    """Reset the kernel's memory peak of this process; return its memory now [byte]."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return None
    return memory_status("VmRSS")
