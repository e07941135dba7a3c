"""Direct reads and writes of another process's memory (Linux, ``process_vm_readv``).

Each transfer is one copy from address space to address space: no pipe, no shared buffer in
between, and no work for the process that owns the memory.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

__all__ = ["Direction", "is_reachable_by_workers", "populate", "transfer"]

Direction = Literal["read", "write"]

_SPANS_PER_CALL = 1024  # IOV_MAX
_PR_SET_PTRACER = 0x59616D61
_MADV_POPULATE_WRITE = 23
_POPULATED_AT_ONCE = 2**26


def transfer(direction: Direction, pid: int, spans: npt.NDArray[np.uint64], local: npt.NDArray[np.uint8]) -> None:
    """Copy between address ranges of another process's memory and one local buffer.

    Parameters
    ----------
    direction : {"read", "write"}
        ``"read"``: from the other process into `local`; ``"write"``: the other way.
    pid : int
        Process id of the other process.
    spans : ndarray of uint64, shape (n_spans, 2)
        Address and length of each range in the other process [byte].
    local : ndarray of uint8, shape (n_bytes,)
        Contiguous buffer, as long as all ranges together.

    Raises
    ------
    PermissionError
        If this system forbids the access (see `is_reachable_by_workers`).
    ProcessLookupError
        If the other process has ended.
    OSError
        If an address is not mapped in the other process.
    """
    call = _calls()[direction]
    address, n_left = _address(local), local.size
    while n_left:
        part = spans[:_SPANS_PER_CALL]
        n_bytes = n_left if len(part) == len(spans) else int(part[:, 1].sum())
        moved = call(pid, ctypes.byref(_Span(address, n_bytes)), 1, _address(part), len(part), 0)
        if moved < 0:
            number = ctypes.get_errno()
            raise OSError(number, f"memory of process {pid}: {os.strerror(number)}")
        address, n_left = address + moved, n_left - moved
        spans = spans[len(part) :] if moved == n_bytes else _behind(spans, moved)


def populate(array: npt.NDArray[Any]) -> None:
    """Allocate the pages of an array that other processes will write, without changing its values.

    A page costs ten times as much if another process is the first to write it. A thread does this
    work while workers start. On systems without the call nothing is done.
    """
    if array.nbytes and (array.flags.c_contiguous or array.flags.f_contiguous):
        arguments = (array, ctypes.CDLL(None).madvise)
        threading.Thread(target=_populate, args=arguments, name="tilecore-populate", daemon=True).start()


def _populate(array: npt.NDArray[Any], madvise: Callable[[ctypes.c_void_p, ctypes.c_size_t, int], int]) -> None:
    page = os.sysconf("SC_PAGE_SIZE")
    first = -(-array.ctypes.data // page) * page
    last = (array.ctypes.data + array.nbytes) // page * page
    while first < last:
        size = min(_POPULATED_AT_ONCE, last - first)
        if madvise(ctypes.c_void_p(first), ctypes.c_size_t(size), _MADV_POPULATE_WRITE) != 0:
            return
        first += size


class _Span(ctypes.Structure):
    """An address range, which the kernel calls an iovec."""

    _fields_ = (("address", ctypes.c_void_p), ("n_bytes", ctypes.c_size_t))


def _address(array: npt.NDArray[Any]) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


@cache
def is_reachable_by_workers() -> bool:
    """Whether processes started by this one may access its memory; it asks the system for permission if needed.

    The function tries the kernel's calls on this process itself. In addition, the Yama security
    module may restrict them to parents (1) or forbid them (2, 3).
    """
    probe = np.zeros(1, dtype=np.uint8)
    span = np.array([[probe.ctypes.data, 1]], dtype=np.uint64)
    try:
        transfer("read", os.getpid(), span, np.empty_like(probe))
    except (OSError, AttributeError):
        return False
    scope = _yama_scope()
    if scope == 1:  # allow descendants, and nobody else
        ctypes.CDLL(None).prctl(_PR_SET_PTRACER, ctypes.c_ulong(os.getpid()), 0, 0, 0)
    return scope <= 1


def _yama_scope() -> int:
    try:
        return int(Path("/proc/sys/kernel/yama/ptrace_scope").read_text())
    except (OSError, ValueError):
        return 0  # no Yama here


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
    """Rest of the address ranges after their first `moved` bytes."""
    ends = np.cumsum(spans[:_SPANS_PER_CALL, 1], dtype=np.int64)
    done = int(np.searchsorted(ends, moved, side="right"))
    rest = spans[done:]
    into = moved - (int(ends[done - 1]) if done else 0)
    if into:
        rest = rest.copy()
        rest[0] += np.array([into, -into]).astype(np.uint64)
    return rest
