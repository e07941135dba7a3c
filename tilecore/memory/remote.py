"""Another process's memory, read and written directly (Linux, ``process_vm_readv``).

One copy from address space to address space: no pipe, no shared buffer in between, and
no work for the process that owns the memory.
"""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

__all__ = ["Direction", "can_reach", "permit_descendants", "transfer"]

Direction = Literal["read", "write"]

_SPANS_PER_CALL = 1024  # IOV_MAX
_PR_SET_PTRACER = 0x59616D61


def transfer(direction: Direction, pid: int, spans: npt.NDArray[np.uint64], local: npt.NDArray[np.uint8]) -> None:
    """Copy between spans of another process's memory and one local buffer.

    Parameters
    ----------
    direction : {"read", "write"}
        ``"read"``: from the other process into `local`; ``"write"``: the other way.
    pid : int
        The other process.
    spans : ndarray of uint64, shape (n_spans, 2)
        Address and length of each span in the other process [byte].
    local : ndarray of uint8, shape (n_bytes,)
        Contiguous; as long as all spans together.

    Raises
    ------
    PermissionError
        If this system forbids it (see `permit_descendants`).
    ProcessLookupError
        If the other process is gone.
    OSError
        If an address is not mapped there.
    """
    call = _calls()[direction]
    address = local.ctypes.data
    while len(spans):
        part = spans[:_SPANS_PER_CALL]
        near = np.array([[address, int(part[:, 1].sum())]], dtype=np.uint64)
        moved = call(pid, near.ctypes.data, 1, part.ctypes.data, len(part), 0)
        if moved < 0:
            number = ctypes.get_errno()
            raise OSError(number, f"memory of process {pid}: {os.strerror(number)}")
        address += moved
        spans = _behind(spans, moved)


def can_reach(pid: int, address: int) -> bool:
    """Whether the memory of another process can be read from here; reads one byte at `address`."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        transfer("read", pid, np.array([[address, 1]], dtype=np.uint64), np.empty(1, dtype=np.uint8))
    except (OSError, AttributeError):
        return False
    return True


def permit_descendants() -> None:
    """Let this process's descendants, and no other process, reach its memory.

    Only needed, and only done, where the Yama security module restricts that to parents.
    """
    try:
        scope = Path("/proc/sys/kernel/yama/ptrace_scope").read_text().strip()
    except OSError:
        return  # no Yama here: nothing restricts it
    if scope == "1":
        ctypes.CDLL(None).prctl(_PR_SET_PTRACER, ctypes.c_ulong(os.getpid()), 0, 0, 0)


@cache
def _calls() -> dict[str, ctypes._CFuncPtr]:  # type: ignore[name-defined]
    library = ctypes.CDLL(None, use_errno=True)
    calls = {"read": library.process_vm_readv, "write": library.process_vm_writev}
    for call in calls.values():
        call.restype = ctypes.c_ssize_t
        call.argtypes = (
            ctypes.c_int,
            *(ctypes.c_void_p, ctypes.c_ulong),
            *(ctypes.c_void_p, ctypes.c_ulong),
            ctypes.c_ulong,
        )
    return calls


def _behind(spans: npt.NDArray[np.uint64], moved: int) -> npt.NDArray[np.uint64]:
    """What is left of the spans once their first `moved` bytes are done."""
    ends = np.cumsum(spans[:_SPANS_PER_CALL, 1], dtype=np.int64)
    done = int(np.searchsorted(ends, moved, side="right"))
    rest = spans[done:]
    into = moved - (int(ends[done - 1]) if done else 0)
    if into:
        rest = rest.copy()
        rest[0] += np.array([into, -into]).astype(np.uint64)
    return rest
