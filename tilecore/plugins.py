"""Parts that other packages bring: found by entry point, loaded when they are used."""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points
from typing import Any

from tilecore.errors import MissingDependencyError

__all__ = ["find", "load"]


def find(group: str, name: str) -> Any | None:
    """Load what a package has registered in a group of entry points; None if nobody has."""
    for entry in entry_points(group=group, name=name):
        return load(entry.value)
    return None


def load(reference: str) -> Any:
    """Load an object by its place, ``"module:name"``.

    Raises
    ------
    MissingDependencyError
        If there is no such module, or nothing of that name in it.
    """
    module, _, name = reference.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise MissingDependencyError.of("plugin", reference, f"cannot be loaded: {error}") from error
