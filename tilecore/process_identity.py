"""Identity of processes: what tells one from all others, also on other hosts, and whether it has ended."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Mapping
from pathlib import Path

__all__ = ["has_ended", "start_time_of", "this_process"]


def start_time_of(pid: int) -> str:
    """Start time of a process, which tells it from a later one of the same number; empty if it has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]


def this_process() -> dict[str, str]:
    """What tells this process from all others, as far as the system says it."""
    pid = os.getpid()
    return _system() | {"pid": str(pid), "started": start_time_of(pid)}


def has_ended(process: Mapping[str, str]) -> bool | None:
    """Whether a process has ended; None if this cannot be told here, as of one on another host or in a container."""
    mine = _system()
    if not mine["boot"] or any(process.get(name) != mine[name] for name in ("boot", "pids")):
        return None
    return start_time_of(int(process["pid"])) != process["started"]


def _system() -> dict[str, str]:
    """The running system that this process sees, whose processes are numbered together."""
    boot, namespace = "", ""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = os.readlink("/proc/self/ns/pid")
    return {"host": platform.node(), "boot": boot, "pids": namespace}
