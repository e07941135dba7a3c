"""Optional packages: an error that names the extra which brings them, wherever one is missing."""

from __future__ import annotations

import importlib

from tilecore.errors import MissingDependencyError

__all__ = ["need", "needs_extra"]


def need(what: str, extra: str, *modules: str) -> None:
    """Import modules of optional packages.

    Parameters
    ----------
    what : str
        What needs them, for the message.
    extra : str
        Name of the extra that brings them.
    *modules : str
        Their names, such as ``"dask.array"``.

    Raises
    ------
    MissingDependencyError
        If one cannot be imported; the message has the reason.
    """
    for name in modules:
        try:
            importlib.import_module(name)
        except ImportError as error:
            package = name.partition(".")[0]
            raise MissingDependencyError(f"{needs_extra(what, package, extra)} ({error})") from error


def needs_extra(what: str, package: str, extra: str) -> MissingDependencyError:
    """Build the error for something that needs an optional package."""
    return MissingDependencyError(f'{what} needs the package {package}: pip install "tilecore[{extra}]"')
