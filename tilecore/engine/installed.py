"""Whose code is it: the user's own, or that of a package, for which its version stands."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import sys
import sysconfig
import types

__all__ = ["is_installed_file", "is_installed_function", "is_installed_module", "release_of"]


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


def is_installed_module(name: str) -> bool:
    """Whether a module is not the user's own: Python's, an installed package's, or tilecore's."""
    package = name.partition(".")[0]
    if package == "tilecore":
        return True
    module = sys.modules.get(name) or sys.modules.get(package)
    path = None if module is None else getattr(module, "__file__", None)
    return package in sys.stdlib_module_names if path is None else is_installed_file(path)


def is_installed_function(function: types.FunctionType) -> bool:
    """The same of a function; its file tells, where it has one, and not the module that claims it."""
    path = function.__code__.co_filename
    if path.startswith("<") and not path.startswith("<frozen"):
        return function.__module__ not in (None, "builtins") and is_installed_module(function.__module__)
    return path.startswith("<frozen") or is_installed_file(path) or function.__module__.partition(".")[0] == "tilecore"
