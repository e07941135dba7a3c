"""Scripts whose code would be run again by each process that dask starts, as these import it."""

from __future__ import annotations

import ast
import inspect
import multiprocessing
import sys
from pathlib import Path
from types import FrameType

__all__ = ["is_run_by_children"]


def is_run_by_children() -> bool:
    """Whether what runs now is a script's own code that no ``if __name__ == "__main__":`` keeps from its children.

    Also in such a child, while it imports the script.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        return True
    path, line = _place_in_script(inspect.currentframe())
    if path is None:
        return False
    try:
        statements = ast.parse(Path(path).read_bytes()).body
    except (OSError, SyntaxError, ValueError):  # nothing that a child could import either
        return False
    return not any(_is_guard(each) and each.lineno <= line <= (each.end_lineno or 0) for each in statements)


def _place_in_script(frame: FrameType | None) -> tuple[str | None, int]:
    """File of the script, and the line of it that runs; None if children do not import it, or none of it runs."""
    main = sys.modules["__main__"]
    path, spec = getattr(main, "__file__", None), getattr(main, "__spec__", None)
    if path is None or (spec is not None and (spec.name == "__main__" or spec.name.endswith(".__main__"))):
        return None, 0
    while frame is not None:
        if frame.f_code.co_name == "<module>" and frame.f_globals is vars(main):
            return path, frame.f_lineno
        frame = frame.f_back
    return None, 0


def _is_guard(statement: ast.stmt) -> bool:
    """Whether a statement of a script asks for its name."""
    if not isinstance(statement, ast.If):
        return False
    return any(isinstance(node, ast.Name) and node.id == "__name__" for node in ast.walk(statement.test))
