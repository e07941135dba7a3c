"""Whose code is it: the user's own, or that of a package, for which its version stands."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import sys
import sysconfig
import types
from typing import Any

__all__ = [
    "is_installed_file",
    "is_installed_module",
    "is_installed_object",
    "is_of_tilecore",
    "name_in_module",
    "release_of",
]


def release_of(module: str) -> str:
    """The version of the package that a module belongs to; that of Python for its own."""
    package = module.partition(".")[0]
    found = getattr(sys.modules.get(package), "__version__", None)
    if isinstance(found, str):
        return found
    try:
        return importlib.metadata.version(package)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return f"Python {sys.version_info.major}.{sys.version_info.minor}"


@functools.cache
def _installed_folders() -> tuple[str, ...]:
    paths = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    paths |= {path for path in sys.path if os.path.basename(path) in ("site-packages", "dist-packages")}
    return tuple(sorted(os.path.realpath(path) + os.sep for path in paths if path))


def is_installed_file(path: str) -> bool:
    """Whether a file is Python's or an installed package's."""
    return path in ("built-in", "frozen") or os.path.realpath(path).startswith(_installed_folders())


def is_of_tilecore(module: str) -> bool:
    """Whether a module is one of tilecore's, wherever that is installed."""
    return module.partition(".")[0] == "tilecore"


def is_installed_module(name: str) -> bool:
    """Whether a module is not the user's own: Python's, an installed package's, or tilecore's."""
    package = name.partition(".")[0]
    if package == "__main__" or is_of_tilecore(name):
        return package != "__main__"
    module = sys.modules.get(name) or sys.modules.get(package)
    path = None if module is None else getattr(module, "__file__", None)
    return package in sys.stdlib_module_names if path is None else is_installed_file(path)


def is_installed_object(value: object) -> bool:
    """Whether a function or class is one that an installed module has under its name, as pickle looks it up.

    A function that a package has made, such as a wrapper, may hold code of the user's own.
    """
    module, name = str(getattr(value, "__module__", None)), str(getattr(value, "__qualname__", ""))
    if not is_installed_module(module):
        return False
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found is value


def name_in_module(value: object) -> str | None:
    """The name under which an installed module has an object of one of its classes; None if it has it not."""
    module = type(value).__module__
    if not is_installed_module(module) or module == "builtins":
        return None
    names = vars(sys.modules.get(module) or types.ModuleType(""))
    return next((f"{module}.{name}" for name, each in list(names.items()) if each is value), None)
