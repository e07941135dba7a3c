"""Cores, memory and open files that this process may use, within the limits of its cgroup and mounts."""

from __future__ import annotations

import contextlib
import math
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ctypes

__all__ = [
    "available_memory",
    "core_quota",
    "free_descriptors",
    "free_space",
    "keep_freed_memory",
    "let_be_killed_first",
    "limit_threads",
    "memory_limit",
    "memory_status",
    "out_of_memory_kills",
    "peak_memory",
    "return_freed_memory",
    "scheduled_cores",
    "threads_limit",
    "total_memory",
    "usable_cores",
    "usable_threads",
]

# Constants from glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4

# Limits that `limit_threads` has set in this process.
_limits: dict[str, int] = {}

# Time for which a measured memory peak is used again [s].
_PEAK_SECONDS = 0.1

# Time for which a number of cores is used again [s].
_CORES_SECONDS = 10.0


class _Peak:
    """The last measured memory peak of this process, and the time until which it is used."""

    until = -math.inf
    bytes: int | None = None

    def forget(self) -> None:
        self.until = -math.inf


class _Cores:
    """The number of usable cores, which is looked up again only after a while: that takes about a millisecond."""

    until = -math.inf
    number = 1

    def now(self) -> int:
        if time.monotonic() >= self.until:
            self.number = usable_cores()
            self.until = time.monotonic() + _CORES_SECONDS
        return self.number


_cores = _Cores()
_peak = _Peak()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_peak.forget)

_CGROUP_ROOT = Path("/sys/fs/cgroup")


def usable_cores() -> int:
    """Count the cores that this process may use: those of its affinity mask, at most its cgroup's quota.

    Returns
    -------
    int
        At least 1.
    """
    cores, quota = scheduled_cores(), core_quota()
    return max(1, min(cores, math.ceil(quota)) if quota else cores)


def scheduled_cores() -> int:
    """Count the cores of this process's affinity mask; all of the machine where a system has no such masks."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1


def limit_threads(n_threads: int) -> None:
    """Set the number that `usable_threads` returns in this process, which shares the cores with others; 0: no limit."""
    _limits["threads"] = n_threads


def threads_limit() -> int:
    """Number that `limit_threads` has set; 0 if there is no limit."""
    return _limits.get("threads", 0)


def usable_threads() -> int:
    """Count the threads that work outside Python may use: this process's cores, or its share of them."""
    return _limits.get("threads") or _cores.now()


def available_memory() -> int:
    """Estimate the memory that can still be allocated without swapping or being killed.

    Returns
    -------
    int
        The smaller of the kernel's available memory and the rest of the cgroup's limit [byte].
    """
    limits = [_system_available_memory()]
    for limit, usage_path, cache_path in _cgroup_memory_limits():
        usage = _read_number(usage_path) or 0
        limits.append(max(0, limit - usage + _reclaimable(cache_path)))
    return min(limits)


def memory_limit() -> int | None:
    """Memory that the cgroup of this process may use, or one around it [byte]; None if there is no limit."""
    return min((limit for limit, _, _ in _cgroup_memory_limits()), default=None)


def total_memory() -> int | None:
    """Memory that the machine has [byte]; None if the system does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def memory_status(name: str) -> int | None:
    """Memory of this process as the kernel counts it under a name such as ``VmRSS`` or ``VmHWM`` [byte].

    None if the system does not provide it.
    """
    words = _read_words(Path("/proc/self/status"))
    return int(words[words.index(name + ":") + 1]) * 1024 if name + ":" in words else None


def peak_memory(now: float) -> int | None:
    """Largest memory that this process has used so far [byte]; None if the system does not tell.

    Parameters
    ----------
    now : float
        Time now, from ``time.perf_counter`` [s]. The peak is measured at most ten times a second, because measuring
        takes longer than a short task.
    """
    if now >= _peak.until:
        _peak.until, _peak.bytes = now + _PEAK_SECONDS, memory_status("VmHWM")
    return _peak.bytes


def out_of_memory_kills() -> int:
    """Number of processes that the kernel has killed since it started because memory ran out."""
    words = _read_words(Path("/proc/vmstat"))
    return int(words[words.index("oom_kill") + 1]) if "oom_kill" in words else 0


def let_be_killed_first(pid: int) -> None:
    """Let the kernel choose a process, and what it starts, first if memory runs out; does nothing elsewhere."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/oom_score_adj").write_text("1000")


def free_descriptors() -> int:
    """Number of files that this process may still open; a large number if the system does not tell."""
    try:
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return limit - len(os.listdir("/proc/self/fd")) if limit != resource.RLIM_INFINITY else 2**20
    except (ImportError, OSError):
        return 2**20


def free_space(path: str | os.PathLike[str]) -> int:
    """Free space of the file system that holds `path` [byte]."""
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize


def keep_freed_memory() -> None:
    """Make this process keep the memory that it frees, for its next arrays; does nothing without glibc.

    Pages that were used before are filled four times as fast as new ones, which the kernel has to
    make and clear; and a worker needs the same temporary arrays for each tile.
    """
    libc = _libc()
    if libc is not None:
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def return_freed_memory() -> None:
    """Return memory to the system that this process has freed but still keeps."""
    libc = _libc()
    if libc is not None:
        libc.malloc_trim(0)


def _libc() -> ctypes.CDLL | None:
    """Return the C library if it is glibc, otherwise None."""
    import ctypes

    try:
        library = ctypes.CDLL(None)
        return library if hasattr(library, "malloc_trim") else None
    except (OSError, TypeError):  # Windows
        return None


def _system_available_memory() -> int:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass  # not Linux: ask for the physical memory instead
    return total_memory() or 2**33


def _cgroup_paths() -> dict[str, str]:
    """Map each cgroup v1 controller to this process's path in it; the key ``""`` stands for cgroup v2."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return {}
    fields = [line.split(":", 2) for line in lines if line.count(":") >= 2]
    return {name: path for _, names, path in fields for name in names.split(",")}


def _up_to_root(base: Path, path: str) -> list[Path]:
    """The cgroup's folder and its parents; any of them may set the lowest limit."""
    folder = base / path.lstrip("/")
    folders = [folder, *folder.parents]
    return [each for each in folders if each == base or base in each.parents]


def _cgroup_memory_files() -> list[tuple[Path, Path, Path]]:
    paths = _cgroup_paths()
    files = []
    if "memory" in paths:
        files += [
            (folder / "memory.limit_in_bytes", folder / "memory.usage_in_bytes", folder / "memory.stat")
            for folder in _up_to_root(_CGROUP_ROOT / "memory", paths["memory"])
        ]
    if "" in paths:
        files += [
            (folder / "memory.max", folder / "memory.current", folder / "memory.stat")
            for folder in _up_to_root(_CGROUP_ROOT, paths[""])
        ]
    return files


def _cgroup_memory_limits() -> list[tuple[int, Path, Path]]:
    """Each limit [byte], with the files that tell how much is used and how much of that is cache."""
    files = [(_read_number(limit), usage, cache) for limit, usage, cache in _cgroup_memory_files()]
    # Version 1 of cgroups writes "no limit" as nearly 2**63.
    return [(limit, usage, cache) for limit, usage, cache in files if limit is not None and limit < 2**62]


def core_quota() -> float | None:
    """Cores' worth of time that the cgroup of this process may use, or one around it; None if there is no quota."""
    paths = _cgroup_paths()
    quotas = []
    for folder in _up_to_root(_CGROUP_ROOT / "cpu", paths["cpu"]) if "cpu" in paths else []:
        quota, period = _read_number(folder / "cpu.cfs_quota_us"), _read_number(folder / "cpu.cfs_period_us")
        if quota and period and quota > 0:
            quotas.append(quota / period)
    for folder in _up_to_root(_CGROUP_ROOT, paths[""]) if "" in paths else []:
        words = _read_words(folder / "cpu.max")
        if len(words) == 2 and words[0] != "max":
            quotas.append(int(words[0]) / int(words[1]))
    return min(quotas, default=None)


def _reclaimable(stat_path: Path) -> int:
    """Size of the file cache that the kernel frees before it kills a process: counted as used, but free [byte]."""
    words = _read_words(stat_path)
    names = dict(zip(words[::2], words[1::2], strict=False))
    return int(names.get("total_inactive_file", names.get("inactive_file", 0)))


def _read_number(path: Path) -> int | None:
    words = _read_words(path)
    return int(words[0]) if words and words[0].lstrip("-").isdigit() else None


def _read_words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []  # the controller is not mounted here: no limit from it
