"""Plug-ins: objects from other packages, found by entry point and loaded when they are used."""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points
from typing import Any

from tilecore.errors import MissingDependencyError, ParameterError

__all__ = ["find", "load"]


def find(group: str, name: str) -> Any | None:
    """Load the plug-in that a package has registered under a name in a group of entry points; None if there is none."""
    for entry in entry_points(group=group, name=name):
        return load(entry.value)
    return None


def load(reference: str, parameter: str = "plugin") -> Any:
    """Load an object by its reference, ``"module:name"``.

    Parameters
    ----------
    reference : str
        Module and name of the object.
    parameter : str
        Name of the parameter in error messages.

    Raises
    ------
    MissingDependencyError
        If the module does not exist or cannot be imported, or has no object of that name.
    ParameterError
        If `reference` does not have the form ``"module:name"``.
    """
    module, _, name = reference.partition(":")
    if not (module and name):
        raise ParameterError.of(parameter, reference, "must have the form MODULE:NAME, such as 'mymodule:smooth'")
    try:
        return getattr(importlib.import_module(module), name)
    except (Exception, SystemExit) as error:  # a module's own code runs here: a script may even exit
        what = f"{type(error).__name__}: {error}"
        raise MissingDependencyError.of(parameter, reference, f"cannot be loaded: {what}") from error
