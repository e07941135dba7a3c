"""Ownership of code: the user's own, or an installed package's, which is described by its version."""

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
    """Version of the package that a module belongs to; that of Python for its own modules."""
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
    """Whether a file belongs to Python or to an installed package."""
    return path in ("built-in", "frozen") or os.path.realpath(path).startswith(_installed_folders())


def is_of_tilecore(module: str) -> bool:
    """Whether a module belongs to tilecore, wherever that is installed."""
    return module.partition(".")[0] == "tilecore"


def is_installed_module(name: str) -> bool:
    """Whether a module belongs to Python, an installed package or tilecore, and not to the user."""
    package = name.partition(".")[0]
    if package == "__main__" or is_of_tilecore(name):
        return package != "__main__"
    module = sys.modules.get(name) or sys.modules.get(package)
    path = None if module is None else getattr(module, "__file__", None)
    return package in sys.stdlib_module_names if path is None else is_installed_file(path)


def is_installed_object(value: object) -> bool:
    """Whether an installed module has this function or class under its name, as pickle looks it up.

    A function that a package has made, such as a wrapper, may contain code of the user.
    """
    module, name = str(getattr(value, "__module__", None)), str(getattr(value, "__qualname__", ""))
    if not is_installed_module(module):
        return False
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found is value


def name_in_module(value: object) -> str | None:
    """Name under which an installed module holds an object of one of its classes; None if it does not."""
    module = type(value).__module__
    if not is_installed_module(module) or module == "builtins":
        return None
    names = vars(sys.modules.get(module) or types.ModuleType(""))
    return next((f"{module}.{name}" for name, each in list(names.items()) if each is value), None)
