"""The run's options as parameters of a verb: in its signature and help, with hints for names that it lacks."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Iterable
from dataclasses import MISSING, fields
from typing import ParamSpec, TypeVar

from tilecore.engine.options import Options, RunOptions
from tilecore.errors import ParameterTypeError

__all__ = ["takes_run_options"]

P = ParamSpec("P")
R = TypeVar("R")

#: What other libraries call it.
_OTHER_NAMES = {
    "depth": "halo",
    "margin": "halo",
    "overlap": "halo",
    "chunks": "tile_shape",
    "chunk_size": "tile_shape",
    "chunksize": "tile_shape",
    "block_shape": "tile_shape",
    "block_size": "tile_shape",
    "mode": "boundary",
    "output": "out",
    "n_jobs": "workers",
    "n_workers": "workers",
    "nb_workers": "workers",
    "num_workers": "workers",
    "max_workers": "workers",
    "processes": "workers",
    "scheduler": "executor",
    "memory_limit": "max_memory",
    "args": "kwargs",
    "fn_kwargs": "kwargs",
}


def takes_run_options(verb: Callable[P, R]) -> Callable[P, R]:
    """Show the run's options, with their defaults, as parameters of a verb that takes them as ``**run``.

    Parameters
    ----------
    verb : callable
        Its docstring is in numpydoc's form; the options become the section "Other Parameters".

    Returns
    -------
    callable
        The same, which refuses unknown keyword arguments before anything is done.
    """
    signature = inspect.signature(verb)
    own = [each for each in signature.parameters.values() if each.kind is not each.VAR_KEYWORD]
    types = RunOptions.__annotations__
    options = [
        inspect.Parameter(
            each.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if each.default is MISSING else each.default,
            annotation=getattr(types[each.name], "__forward_arg__", types[each.name]),
        )
        for each in fields(Options)
    ]
    known = frozenset(each.name for each in (*own, *options))

    @functools.wraps(verb)
    def checked(*args: P.args, **named: P.kwargs) -> R:
        if not known.issuperset(named):
            unknown = next(name for name in named if name not in known)
            raise ParameterTypeError(_message(verb.__name__, unknown, known, args[0] if args else None))
        return verb(*args, **named)

    checked.__dict__["__signature__"] = signature.replace(parameters=[*own, *options])
    checked.__doc__ = _with_options(verb.__doc__)
    return checked


def _message(verb: str, unknown: str, known: Iterable[str], function: object) -> str:
    """Say what could have been meant by a keyword argument that a verb does not have."""
    lacks = f"{verb} has no parameter {unknown!r}"
    if "kwargs" in known and unknown in _parameters(function):
        name = getattr(function, "__name__", "the function")
        return f"{lacks}; it is a parameter of {name}: write kwargs={{{unknown!r}: ...}}"
    meant = [_OTHER_NAMES[unknown]] if unknown in _OTHER_NAMES else difflib.get_close_matches(unknown, known, n=1)
    if meant and meant[0] in known:
        return f"{lacks}; did you mean {meant[0]}?"
    given = " (arguments of your function go into kwargs={...})" if "kwargs" in known else ""
    return f"{lacks}; it has {', '.join(sorted(known))}{given}"


def _parameters(function: object) -> Iterable[str]:
    """Names of a function's parameters; none where they are not known."""
    if not callable(function):
        return ()
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):  # many functions written in C do not tell
        return ()


def _with_options(text: str | None) -> str | None:
    """Put the options' descriptions into a docstring, where numpydoc wants them: before what is raised."""
    if text is None or RunOptions.__doc__ is None:  # Python was told to leave docstrings out
        return text
    described = inspect.cleandoc(RunOptions.__doc__).partition("Attributes\n----------\n")[2]
    before, raises, after = inspect.cleandoc(text).partition("\nRaises\n------\n")
    return f"{before}\nOther Parameters\n----------------\n{described}\n{raises}{after}"
