"""Errors of readers: those of other libraries become tilecore's, and no path leads out of its folder."""

from __future__ import annotations

import contextlib
import logging
import os
import struct
import threading
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from functools import lru_cache

from tilecore.errors import (
    MissingDependencyError,
    MissingFileError,
    ParameterError,
    ParameterTypeError,
    TilecoreError,
    UnreadableFileError,
)

__all__ = ["as_path", "inside", "needs_extra", "overhearing", "reading"]

_log = logging.getLogger(__name__)

# What tifffile logs in each thread, while somebody listens there.
_heard = threading.local()

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
        with overhearing():
            yield
    except TilecoreError:
        raise
    except FileNotFoundError as error:
        raise MissingFileError(f"{name}: {error}") from error
    except _PARSING_ERRORS as error:
        raise UnreadableFileError(
            f"{name} cannot be read as {kind}: {type(error).__name__}: {str(error)[:300]}"
        ) from error


@contextlib.contextmanager
def overhearing() -> Iterator[list[logging.LogRecord]]:
    """Keep what tifffile logs in this thread from the user: the error that follows says it, and which file.

    Yields
    ------
    list of LogRecord
        What was logged; at the level DEBUG this module's log has it too.
    """
    logger = logging.getLogger("tifffile")
    logger.addFilter(_overhear)  # once; it acts only where somebody listens
    level = logger.level
    if not logger.isEnabledFor(logging.ERROR):  # who wants to read no errors does not want wrong voxels either
        logger.setLevel(logging.ERROR)
    outer, _heard.records = getattr(_heard, "records", None), []
    try:
        yield _heard.records
    finally:
        _heard.records = outer
        logger.setLevel(level)


def _overhear(record: logging.LogRecord) -> bool:
    """Let through what is logged where nobody listens."""
    records: list[logging.LogRecord] | None = getattr(_heard, "records", None)
    if records is None:
        return True
    records.append(record)
    _log.debug("tifffile: %s", record.getMessage())
    return False


def needs_extra(name: str, package: str, extra: str) -> MissingDependencyError:
    """The error for a file that an optional package reads."""
    return MissingDependencyError(f'{name} needs the package {package}: pip install "tilecore[{extra}]"')


def as_path(path: str | bytes | os.PathLike[str] | os.PathLike[bytes]) -> str:
    """Accept the path of a file or folder.

    Raises
    ------
    ParameterTypeError
        If it is none, but an array, say.
    ParameterError
        If it is empty: that would be the current folder.
    """
    try:
        name = os.fsdecode(path)
    except TypeError:
        raise ParameterTypeError.of("path", path, "the path of a file or folder is needed") from None
    if not name:
        raise ParameterError.of("path", path, "the path of a file or folder is needed; '.' is the current folder")
    return name


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
