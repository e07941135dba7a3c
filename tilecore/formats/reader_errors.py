"""Errors of readers: errors of other libraries become tilecore's, and no path may lead out of its folder."""

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
    MissingFileError,
    ParameterError,
    ParameterTypeError,
    TilecoreError,
    UnreadableFileError,
)
from tilecore.objects.urls import checked_path

__all__ = ["as_path", "inside", "overhearing", "reading"]

_log = logging.getLogger(__name__)

# Log records of tifffile in each thread, while a function listens there.
_heard = threading.local()

# Errors that parsers raise when a file's content is not as expected.
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
    """Turn errors while a file is read into errors that name the file.

    Parameters
    ----------
    name : str
        Path of the file, or of the place in it.
    kind : str
        Kind that the file is read as, for the message.

    Raises
    ------
    MissingFileError, UnreadableFileError
        Instead of the original error, which is the cause.
    """
    try:
        with overhearing():
            yield
    except TilecoreError:
        raise
    except FileNotFoundError as error:
        raise MissingFileError(f"{name}: {error}") from error
    except PermissionError as error:
        raise UnreadableFileError(f"{name} cannot be read: {error.strerror or error}; ask its owner") from error
    except _PARSING_ERRORS as error:
        raise UnreadableFileError(
            f"{name} cannot be read as {kind}: {type(error).__name__}: {str(error)[:300]}"
        ) from error


@contextlib.contextmanager
def overhearing() -> Iterator[list[logging.LogRecord]]:
    """Collect the log records of tifffile in this thread, and hide them: the error that follows names the file.

    Yields
    ------
    list of LogRecord
        The records so far; this module also logs them at level DEBUG.
    """
    logger = logging.getLogger("tifffile")
    logger.addFilter(_overhear)  # added once; it acts only while a function listens
    level = logger.level
    if not logger.isEnabledFor(logging.ERROR):  # wrong voxels are noticed even without a log
        logger.setLevel(logging.ERROR)
    outer, _heard.records = getattr(_heard, "records", None), []
    try:
        yield _heard.records
    finally:
        _heard.records = outer
        logger.setLevel(level)


def _overhear(record: logging.LogRecord) -> bool:
    """Filter a log record of tifffile: keep it if `overhearing` is active in this thread, otherwise pass it on."""
    records: list[logging.LogRecord] | None = getattr(_heard, "records", None)
    if records is None:
        return True
    records.append(record)
    _log.debug("tifffile: %s", record.getMessage())
    return False


def as_path(path: str | bytes | os.PathLike[str] | os.PathLike[bytes]) -> str:
    """Check the path of a file or folder, or a URL, and return it as text; ``~`` stands for the user's own folder.

    Raises
    ------
    ParameterTypeError
        If `path` is not a path, but for example an array.
    ParameterError
        If `path` is empty, as an empty path would mean the current folder; or a URL that holds a password.
    """
    try:
        name = os.fsdecode(path)
    except TypeError:
        raise ParameterTypeError.of("path", path, "must be the path of a file or folder") from None
    if not name:
        raise ParameterError.of("path", path, "must be the path of a file or folder; '.' is the current folder")
    return os.path.expanduser(checked_path(name, path))


def inside(root: str, path: str) -> str:
    """Refuse a path that leads out of its root folder, by ``..`` or by a symbolic link.

    Raises
    ------
    UnreadableFileError
        If the path leads out of `root`.
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
