"""Parts that other packages bring: found by entry point, loaded when they are used."""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points
from typing import Any

from tilecore.errors import MissingDependencyError, ParameterError

__all__ = ["find", "load"]


def find(group: str, name: str) -> Any | None:
    """Load what a package has registered in a group of entry points; None if nobody has."""
    for entry in entry_points(group=group, name=name):
        return load(entry.value)
    return None


def load(reference: str, parameter: str = "plugin") -> Any:
    """Load an object by its place, ``"module:name"``.

    Parameters
    ----------
    reference : str
    parameter : str
        What errors call it.

    Raises
    ------
    MissingDependencyError
        If there is no such module, or nothing of that name in it, or it cannot be imported.
    ParameterError
        If it is no such place.
    """
    module, _, name = reference.partition(":")
    if not (module and name):
        raise ParameterError.of(parameter, reference, "MODULE:NAME is needed")
    try:
        return getattr(importlib.import_module(module), name)
    except (Exception, SystemExit) as error:  # a module's own code runs here: a script may even exit
        what = f"{type(error).__name__}: {error}"
        raise MissingDependencyError.of(parameter, reference, f"cannot be loaded: {what}") from error
