"""The subcommand ``tilecore doctor``: what this machine and this installation offer, and what will hurt."""

from __future__ import annotations

import argparse
import json
import os
from typing import Any

from tilecore.cli.printing import print_facts

__all__ = ["configure"]

# Sizes below which something is told to be small [byte].
_LITTLE_MEMORY, _SMALL_SHM = 2**30, 2**28
_FEW_FILES = 1024


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the subcommand."""
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from tilecore.cli.installation import optional_packages, versions

    facts = _facts_of_machine() | {"settings": _settings()}
    packages, optional = versions(), optional_packages()
    warnings = _warnings(facts) + _wrong_settings() + _broken_memory()
    if options.json:
        listed = {each.name: {"version": each.version, "install": each.command} for each in optional}
        print(json.dumps(facts | {"packages": packages, "optional_packages": listed, "warnings": warnings}))
        return
    needed = {name: version or "not installed" for name, version in packages.items()}
    added = {each.name: each.version or f"not installed: {each.command}" for each in optional}
    print_facts(_readable(facts) | needed | added)
    print("\n".join([f"warning: {warning}" for warning in warnings] or ["nothing here will hurt"]))


def _facts_of_machine() -> dict[str, Any]:
    import multiprocessing
    import platform

    from tilecore import machine
    from tilecore.executors.processes.start_method import default_start_method
    from tilecore.memory.segments import default_backend

    return {
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "cores_of_affinity": machine.scheduled_cores(),
        "cores_of_cgroup_quota": machine.core_quota(),
        "usable_cores": machine.usable_cores(),
        "memory_bytes": machine.total_memory(),
        "memory_of_cgroup_limit_bytes": machine.memory_limit(),
        "free_memory_bytes": machine.available_memory(),
        "killed_for_memory": machine.out_of_memory_kills(),
        "shared_memory": default_backend(),
        "dev_shm": _size_of_shm(),
        "open_files": machine.free_descriptors(),
        "start_methods": multiprocessing.get_all_start_methods(),
        "default_start_method": default_start_method(),
    }


def _size_of_shm() -> dict[str, int] | None:
    """Size and free space of ``/dev/shm``; None where there is none."""
    try:
        status = os.statvfs("/dev/shm")
    except (OSError, AttributeError):  # neither macOS nor Windows has one
        return None
    return {"bytes": status.f_blocks * status.f_frsize, "free_bytes": status.f_bavail * status.f_frsize}


def _settings() -> dict[str, str | None]:
    """Variables of the environment that tilecore reads."""
    from tilecore.configuration import VARIABLES
    from tilecore.objects.requests import PATIENCE_VARIABLE

    return {name: os.environ.get(name) for name in (*VARIABLES.values(), "TILECORE_LOG_LEVEL", PATIENCE_VARIABLE)}


def _wrong_settings() -> list[str]:
    """What is wrong with the settings of the environment."""
    from tilecore.configuration import settings
    from tilecore.errors import TilecoreError
    from tilecore.objects.requests import store_patience

    wrong = []
    for resolve in (
        settings.resolve_workers,
        settings.resolve_start_method,
        settings.resolve_max_tasks,
        settings.resolve_dask_patience,
        store_patience,
    ):
        try:
            resolve()
        except TilecoreError as error:
            wrong.append(f"{error}; unset the variable, or set it right")
    return wrong


def _broken_memory() -> list[str]:
    """What is wrong with shared memory, as a page of it is made."""
    from tilecore.errors import TilecoreError
    from tilecore.memory.segments import Segment

    try:
        Segment(4096).close()
    except (TilecoreError, OSError) as error:
        return [f"shared memory cannot be made, so no workers can start: {error}; is memfd_create forbidden here?"]
    return []


def _warnings(facts: dict[str, Any]) -> list[str]:
    """What will hurt on this machine."""
    from tilecore.bytesize import format_bytes

    shm, warnings = facts["dev_shm"], []
    if facts["free_memory_bytes"] < _LITTLE_MEMORY:
        free = format_bytes(facts["free_memory_bytes"])
        warnings.append(f"only {free} of memory are free: tiles will be small, and runs slow; end other programs")
    if facts["killed_for_memory"]:
        times = facts["killed_for_memory"]
        warnings.append(f"the system has killed {times} process(es) since it started, as memory ran out")
    if shm is not None and shm["free_bytes"] < _SMALL_SHM:
        size = format_bytes(shm["free_bytes"])
        warnings.append(
            f"only {size} are free in /dev/shm: shared arrays that have a path (pathname) must fit there; "
            "containers get more by --shm-size=2g"
        )
    if facts["shared_memory"] != "memfd":
        warnings.append("shared arrays are temporary files here: the temporary folder needs room for them")
    if facts["open_files"] < _FEW_FILES:
        warnings.append(f"only {facts['open_files']} more files can be opened: raise the limit by ulimit -n 4096")
    if facts["settings"]["TILECORE_START_METHOD"] == "fork":
        warnings.append("TILECORE_START_METHOD='fork' copies locks that threads hold: workers may wait for ever")
    return warnings


def _readable(facts: dict[str, Any]) -> dict[str, str]:
    """The facts as texts, in fewer lines."""
    from tilecore.bytesize import format_bytes

    quota, limit, shm = facts["cores_of_cgroup_quota"], facts["memory_of_cgroup_limit_bytes"], facts["dev_shm"]
    total = facts["memory_bytes"]
    methods = [
        f"{each} (default)" if each == facts["default_start_method"] else each for each in facts["start_methods"]
    ]
    return {
        "system": facts["system"],
        "cores": f"{facts['usable_cores']} usable; the machine has {facts['cores']}, this process may run on "
        f"{facts['cores_of_affinity']}, cgroup quota: {'none' if quota is None else f'{quota:g}'}",
        "memory": f"{format_bytes(facts['free_memory_bytes'])} free; "
        f"the machine has {'an unknown amount' if total is None else format_bytes(total)}, "
        f"cgroup limit: {'none' if limit is None else format_bytes(limit)}",
        "shared memory": {"memfd": "memory without a file (memfd)"}.get(facts["shared_memory"], "temporary files"),
        "/dev/shm": "none"
        if shm is None
        else f"{format_bytes(shm['free_bytes'])} free of {format_bytes(shm['bytes'])}",
        "open files": f"{facts['open_files']} more",
        "start methods": ", ".join(methods),
        **{name: "not set" if value is None else value for name, value in facts["settings"].items()},
    }
