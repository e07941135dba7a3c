"""What a call takes: its time and its peak memory, measured where it runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tilecore.machine import return_freed_memory

__all__ = ["Measurement", "measured"]


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a call took.

    Attributes
    ----------
    n_voxels : int
        Voxels of the block it was given.
    seconds : float
    peak_bytes : int or None
        Memory it needed at most, beyond what the process had before: the block, temporary
        arrays, the result. None where the system does not tell.
    dtypes : tuple of dtype
        Of the arrays it returned.
    """

    n_voxels: int
    seconds: float
    peak_bytes: int | None
    dtypes: tuple[np.dtype[Any], ...] = ()


def measured(call: Callable[[], Any], n_voxels: int) -> Measurement:
    """Call a function and measure it."""
    return_freed_memory()  # memory taken anew is seen, memory used again is not
    before = _reset_peak()
    start = time.perf_counter()
    result = call()
    seconds = time.perf_counter() - start
    peak = _status("VmHWM")
    results = result if isinstance(result, tuple) else (result,)
    dtypes = tuple([each.dtype for each in results if isinstance(each, np.ndarray)])
    del result, results
    return Measurement(n_voxels, seconds, None if before is None or peak is None else max(peak - before, 0), dtypes)


def _reset_peak() -> int | None:
    """Make the kernel forget this process's peak; return its memory now [byte]."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return None
    return _status("VmRSS")


def _status(name: str) -> int | None:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    values = [int(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":")]
    return values[0] if values else None
