"""Functions of the user that an argument names."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

__all__ = ["load_function", "look_here"]


def look_here() -> None:
    """Add the current folder to Python's search path for modules, which lacks it when a command runs."""
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)


def load_function(reference: str) -> Callable[..., Any]:
    """Load the function of ``--function MODULE:NAME``, or ``FILE.py:NAME``.

    Raises
    ------
    ParameterError, ParameterTypeError, MissingFileError, MissingDependencyError
        If the reference is malformed, its object is not a function, or it cannot be imported.
    """
    from tilecore.errors import ParameterTypeError
    from tilecore.plugins import load

    look_here()
    function = load(reference, "function")
    if not callable(function):
        raise ParameterTypeError.of("function", reference, f"must be a function, not of type {type(function).__name__}")
    return function  # type: ignore[no-any-return]
