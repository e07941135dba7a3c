"""Plug-ins: objects from other packages, found by entry point and loaded when they are used."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import types
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from tilecore.errors import MissingDependencyError, MissingFileError, ParameterError

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
    """Load an object by its reference, ``"module:name"`` or ``"path/of/file.py:name"``.

    Parameters
    ----------
    reference : str
        Module, or file, and name of the object; ``"module:Class.method"`` is that of a class, or of a new object of
        it. The folder of a file is added to Python's search path, so that the file finds its neighbours and workers
        find the file.
    parameter : str
        Name of the parameter in error messages.

    Raises
    ------
    MissingDependencyError
        If the module does not exist or cannot be imported, or has no object of that name.
    MissingFileError
        If the file does not exist.
    ParameterError
        If `reference` has another form, or another module has the name of the file.
    """
    module, _, name = reference.rpartition(":")
    if not (module and name):
        raise ParameterError.of(
            parameter, reference, "must have the form MODULE:NAME, such as 'mymodule:smooth', or FILE.py:NAME"
        )
    file = os.path.abspath(os.path.expanduser(module)) if module.endswith(".py") else None
    if file is not None:
        module = _findable(file, reference, parameter)
    try:
        place = getattr(importlib.import_module(module), "__file__", None)
        is_another = file is not None and not (place and os.path.samefile(place, file))
        found = None if is_another else _imported(module, name)
    except (Exception, SystemExit) as error:  # a module's own code runs here: a script may even exit
        what = f"{type(error).__name__}: {error}"
        raise MissingDependencyError.of(parameter, reference, f"cannot be loaded: {what}") from error
    if is_another:
        raise ParameterError.of(parameter, reference, f"{module} is the module {place or 'of Python'}; rename the file")
    return found


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
    *outer, last = name.split(".")
    owner: Any = importlib.import_module(module)
    for each in outer:
        owner = getattr(owner, each)
    if isinstance(owner, type) and isinstance(inspect.getattr_static(owner, last, None), types.FunctionType):
        owner = owner()  # what is called is a method of an object, neither a static one nor one of the class
    return getattr(owner, last)


def _findable(file: str, reference: str, parameter: str) -> str:
    """Let Python find a file as a module, and return the module's name; a file of a package belongs to the package."""
    folder, name = os.path.split(file.removesuffix(".py"))
    if not os.path.isfile(file):
        raise MissingFileError.of(parameter, reference, "there is no such file")
    if "." in name:
        raise ParameterError.of(parameter, reference, "the name of a module has no dots: rename the file")
    while os.path.isfile(os.path.join(folder, "__init__.py")):
        folder, package = os.path.split(folder)
        name = f"{package}.{name}"
    if name in sys.stdlib_module_names:
        raise ParameterError.of(parameter, reference, f"Python has a module {name} of its own: rename the file")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return name


def _package(entry: EntryPoint) -> str:
    return "a package" if entry.dist is None else f"the package {entry.dist.name}"
