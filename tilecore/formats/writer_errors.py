"""Errors of sinks: errors of the system become tilecore's, and name the file and the reason."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from tilecore.bytesize import format_bytes
from tilecore.errors import DiskSpaceError, MissingFileError, TilecoreError, UnwritableFileError
from tilecore.machine import free_space

__all__ = ["writing"]


@contextlib.contextmanager
def writing(path: Path, n_bytes: int) -> Iterator[None]:
    """Turn errors while a file is created into errors that name the file.

    Parameters
    ----------
    path : Path
    n_bytes : int
        Size that the file will have [byte], for the message.

    Raises
    ------
    MissingFileError, UnwritableFileError, DiskSpaceError
        Instead of the original error, which is the cause.
    """
    try:
        yield
    except TilecoreError:
        raise
    except FileNotFoundError as error:
        raise MissingFileError(f"{path} cannot be created: {error}") from error
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise UnwritableFileError(error.errno, f"{path} cannot be created: {error}") from error
        size, free = format_bytes(n_bytes), format_bytes(free_space(path.parent))
        raise DiskSpaceError(errno.ENOSPC, f"{path} needs {size}; the disk has {free} free") from error
