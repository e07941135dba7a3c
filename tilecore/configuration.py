"""Process-wide defaults: number and start of workers, when they are replaced, and where a cluster is."""

from __future__ import annotations

import contextlib
import math
import operator
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from tilecore.errors import ParameterError, ParameterTypeError
from tilecore.machine import usable_cores

__all__ = ["START_METHODS", "VARIABLES", "Settings", "settings"]

START_METHODS = ("fork", "forkserver", "spawn")

#: Variable of the environment for each setting.
VARIABLES = {
    "workers": "TILECORE_WORKERS",
    "start_method": "TILECORE_START_METHOD",
    "max_tasks": "TILECORE_MAX_TASKS",
    "dask": "TILECORE_DASK",
    "dask_patience": "TILECORE_DASK_PATIENCE",
}

# Time for which a run waits for a worker of a cluster that has none [s].
_DASK_PATIENCE_SECONDS = 300.0


@dataclass
class Settings:
    """Defaults for everything that starts worker processes.

    A value is looked up in the argument of the call, then here, then in the
    environment (``TILECORE_WORKERS``, ``TILECORE_START_METHOD``, ``TILECORE_MAX_TASKS``,
    ``TILECORE_DASK``, ``TILECORE_DASK_PATIENCE``), then tilecore chooses.

    Attributes
    ----------
    workers : int or None
        Number of worker processes; None: one for each usable core.
    start_method : {"fork", "forkserver", "spawn"} or None
        How worker processes start; None: the platform's default.
    max_tasks : int or None
        Tasks a worker may run before a fresh one takes its place; None: no limit.
    dask : str or None
        Address of a scheduler of dask, or path of its scheduler file, for ``executor="dask"``; None: a cluster of
        processes on this machine.
    dask_patience : float or None
        Time for which a run waits for a worker while a cluster has none, at its start or later, before it ends with
        an error [s]; ``inf``: for ever. None: 300.

    Examples
    --------
    >>> from tilecore import settings
    >>> with settings.override(workers=2):
    ...     settings.resolve_workers()
    2
    """

    workers: int | None = None
    start_method: str | None = None
    max_tasks: int | None = None
    dask: str | None = None
    dask_patience: float | None = None

    def __setattr__(self, name: str, value: object) -> None:
        if name not in VARIABLES:
            raise AttributeError(f"settings has no {name!r}; choose one of {', '.join(VARIABLES)}")
        object.__setattr__(self, name, None if value is None else _checked(name, value))

    @contextlib.contextmanager
    def override(self, **values: float | str | None) -> Iterator[Settings]:
        """Change settings inside a ``with`` block; the old values are set again after it."""
        before = asdict(self)
        try:
            for name, value in values.items():
                setattr(self, name, value)
            yield self
        finally:
            for name, value in before.items():
                setattr(self, name, value)

    def resolve_workers(self, workers: int | None = None) -> int:
        """Number of worker processes: from the argument, these settings, the environment, or the number of cores."""
        return _as_count("workers", self._resolve("workers", workers)) or usable_cores()

    def resolve_start_method(self, start_method: str | None = None) -> str | None:
        """Start method from the argument, these settings or the environment; None if none of them sets it."""
        method = self._resolve("start_method", start_method)
        return None if method is None else str(method)

    def resolve_max_tasks(self, max_tasks: int | None = None) -> int | None:
        """Tasks per worker from the argument, these settings or the environment; None if none of them sets it."""
        return _as_count("max_tasks", self._resolve("max_tasks", max_tasks))

    def resolve_dask(self, address: str | None = None) -> str | None:
        """Scheduler from the argument, these settings or the environment; None if none of them tells one."""
        found = self._resolve("dask", address)
        return None if found is None else str(found)

    def resolve_dask_patience(self) -> float:
        """Time to wait for a worker of a cluster [s]: from these settings, the environment, or 300."""
        found = self._resolve("dask_patience", None)
        return _DASK_PATIENCE_SECONDS if found is None else float(found)

    def _resolve(self, name: str, argument: float | str | None) -> float | str | None:
        if argument is not None:
            return _checked(name, argument)
        value: float | str | None = getattr(self, name)
        if value is not None:
            return value
        variable = VARIABLES[name]
        text = os.environ.get(variable, "").strip()
        if not text:
            return None
        return _checked(variable, int(text) if name != "dask" and text.lstrip("+-").isdigit() else text)


def _checked(name: str, value: object) -> float | str:
    if name in ("start_method", VARIABLES["start_method"]):
        if value not in START_METHODS:
            raise ParameterError.of(name, value, f"one of {', '.join(START_METHODS)}")
        return str(value)
    if name in ("dask", VARIABLES["dask"]):
        if not isinstance(value, str):
            raise ParameterTypeError.of(name, value, "the address of a scheduler, or the path of its file")
        return value
    if name in ("dask_patience", VARIABLES["dask_patience"]):
        return _as_seconds(name, value)
    return _as_count(name, value) or 0


def _as_seconds(name: str, value: object) -> float:
    """A positive time, also as the text of the environment."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ParameterTypeError.of(name, value, "a number of seconds, more than zero")
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not seconds > 0:
        raise ParameterError.of(name, value, "a number of seconds, more than zero")
    return seconds


def _as_count(name: str, value: object) -> int | None:
    if value is None:
        return None
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise ParameterTypeError.of(name, value, "a whole number, at least 1") from None
    if number < 1:
        raise ParameterError.of(name, value, "a whole number, at least 1")
    return number


#: The settings of this process.
settings = Settings()
