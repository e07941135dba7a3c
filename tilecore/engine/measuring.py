"""What a call takes: its time and its peak memory, measured where it runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tilecore.machine import memory_status, return_freed_memory

__all__ = ["Measurement", "measured", "undisturbed"]


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a call took.

    Attributes
    ----------
    n_voxels : int
        Voxels of the block it was given.
    seconds : float
        Without the time in which other processes had the core.
    peak_bytes : int or None
        Memory it needed at most, beyond what the process had before: the block, temporary
        arrays, the result. None where the system does not tell.
    before_bytes : int or None
        Memory that the process had before.
    dtypes : tuple of dtype
        Of the arrays it returned.
    """

    n_voxels: int
    seconds: float
    peak_bytes: int | None
    before_bytes: int | None = None
    dtypes: tuple[np.dtype[Any], ...] = ()


def measured(call: Callable[[], Any], n_voxels: int) -> Measurement:
    """Call a function and measure it."""
    return_freed_memory()  # memory taken anew is seen, memory used again is not
    before = _reset_peak()
    start, waited, processor = time.perf_counter(), _waited(), time.thread_time()
    result = call()
    elapsed, processor = time.perf_counter() - start, time.thread_time() - processor
    seconds = undisturbed(elapsed, processor, None if waited is None else (_waited() or 0.0) - waited)
    peak = memory_status("VmHWM")
    results = result if isinstance(result, tuple) else (result,)
    dtypes = tuple([each.dtype for each in results if isinstance(each, np.ndarray)])
    peak_bytes = None if before is None or peak is None else max(peak - before, 0)
    return Measurement(n_voxels, seconds, peak_bytes, before, dtypes)


def undisturbed(elapsed: float, processor: float, waited: float | None) -> float:
    """Time that a call would have taken on an idle machine [s].

    Parameters
    ----------
    elapsed, processor : float
        As the clock on the wall and that of the processor tell.
    waited : float or None
        How long the thread waited for a core, where the system tells.
    """
    if waited is not None:
        return max(elapsed - waited, processor)
    return processor if processor > elapsed / 2 else elapsed  # one that sleeps uses no processor, and waits for none


def _waited() -> float | None:
    """How long this thread has waited for a core while others had it [s]."""
    try:
        _, waited, _ = Path("/proc/thread-self/schedstat").read_text().split()
    except (OSError, ValueError):
        return None
    return int(waited) * 1e-9


def _reset_peak() -> int | None:
    """Make the kernel forget this process's peak; return its memory now [byte]."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return None
    return memory_status("VmRSS")
