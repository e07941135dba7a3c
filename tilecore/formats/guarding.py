"""What files are kept from: errors of other libraries come out as tilecore's, paths stay inside their folder."""

from __future__ import annotations

import contextlib
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from functools import lru_cache

from tilecore.errors import MissingDependencyError, MissingFileError, TilecoreError, UnreadableFileError

__all__ = ["inside", "needs_extra", "reading"]

# What parsers raise when a file holds something else than they expect.
_PARSING_ERRORS = (
    OSError,
    ValueError,
    LookupError,
    ArithmeticError,
    TypeError,
    AttributeError,
    AssertionError,
    EOFError,
    RuntimeError,
    MemoryError,
    SyntaxError,
    tokenize.TokenError,
    NotImplementedError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
)


@contextlib.contextmanager
def reading(name: str, kind: str) -> Iterator[None]:
    """Let out what goes wrong with a file as an error that names it.

    Parameters
    ----------
    name : str
        The file, or the place in it.
    kind : str
        What it is read as.

    Raises
    ------
    MissingFileError, UnreadableFileError
    """
    try:
        yield
    except TilecoreError:
        raise
    except FileNotFoundError as error:
        raise MissingFileError(f"{name}: {error}") from error
    except _PARSING_ERRORS as error:
        raise UnreadableFileError(
            f"{name} cannot be read as {kind}: {type(error).__name__}: {str(error)[:300]}"
        ) from error


def needs_extra(name: str, package: str, extra: str) -> MissingDependencyError:
    """The error for a file that an optional package reads."""
    return MissingDependencyError(f'{name} needs the package {package}: pip install "tilecore[{extra}]"')


def inside(root: str, path: str) -> str:
    """Refuse a path that leads out of its root, by ``..`` or by a symbolic link.

    Raises
    ------
    UnreadableFileError
    """
    folder, name = os.path.split(path)
    real_root = _real(root)
    real = os.path.realpath(path) if os.path.islink(path) else os.path.join(_real(folder), name)
    real = os.path.normpath(real)
    if real != real_root and not real.startswith(real_root.rstrip(os.sep) + os.sep):
        raise UnreadableFileError(f"{path} leads out of {root}: files of one image must lie in its folder")
    return path


@lru_cache(maxsize=4096)
def _real(path: str) -> str:
    return os.path.realpath(path)
