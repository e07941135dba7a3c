"""Plug-ins: objects from other packages, found by entry point and loaded when they are used."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from operator import attrgetter
from typing import Any

from tilecore.errors import MissingDependencyError, ParameterError

__all__ = ["find", "load", "names", "not_taken"]


def find(group: str, name: str) -> Any | None:
    """Load the plug-in that a package has registered under a name; None if there is none.

    Parameters
    ----------
    group : str
        Of entry points, such as ``"tilecore.readers"``.
    name : str

    Raises
    ------
    MissingDependencyError
        If it cannot be imported; the message names the package that brings it.
    ParameterError
        If several packages have registered different things under this name.
    """
    found = {entry.value: entry for entry in entry_points(group=group, name=name)}
    if len(found) > 1:
        packages = " and ".join(_package(entry) for entry in found.values())
        raise ParameterError(f"{group}: {packages} both bring {name!r}; uninstall one of them")
    for entry in found.values():
        try:
            return _imported(entry.module, entry.attr)
        except (Exception, SystemExit) as error:
            raise MissingDependencyError(
                f"{name!r} of the group {group} cannot be loaded: {_package(entry)} brings it as {entry.value}: "
                f"{type(error).__name__}: {error}"
            ) from error
    return None


def names(group: str) -> list[str]:
    """List the names that packages have registered in a group of entry points; nothing is loaded."""
    return sorted({entry.name for entry in entry_points(group=group)})


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
        return _imported(module, name)
    except (Exception, SystemExit) as error:  # a module's own code runs here: a script may even exit
        what = f"{type(error).__name__}: {error}"
        raise MissingDependencyError.of(parameter, reference, f"cannot be loaded: {what}") from error


def not_taken(function: Any, options: Iterable[str]) -> list[str]:
    """List the options, by name, that a function or a class does not take."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some that are written in C do not tell
        return []
    if any(each.kind is each.VAR_KEYWORD for each in parameters):
        return []
    taken = {each.name for each in parameters if each.kind in (each.KEYWORD_ONLY, each.POSITIONAL_OR_KEYWORD)}
    return [option for option in options if option not in taken]


def _imported(module: str, name: str) -> Any:
    return attrgetter(name)(importlib.import_module(module))


def _package(entry: EntryPoint) -> str:
    return "a package" if entry.dist is None else f"the package {entry.dist.name}"
