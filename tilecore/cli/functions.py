"""Functions of the user's own that an argument names."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

__all__ = ["load_function", "look_here"]


def look_here() -> None:
    """Look for modules in the current folder, too: Python looks in a script's folder, not in a command's."""
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)


def load_function(reference: str) -> Callable[..., Any]:
    """The function of ``--function MODULE:NAME``.

    Raises
    ------
    ParameterError, ParameterTypeError, MissingDependencyError
        If it is no such place, no function, or cannot be imported.
    """
    from tilecore.errors import ParameterTypeError
    from tilecore.plugins import load

    look_here()
    function = load(reference, "function")
    if not callable(function):
        raise ParameterTypeError.of("function", reference, f"must be a function, is of type {type(function).__name__}")
    return function  # type: ignore[no-any-return]
