"""Output files that have their name only once they are complete."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["finished"]


@contextlib.contextmanager
def finished(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Write a file under another name, and give it its own when the block ends well.

    Parameters
    ----------
    path : path_like
        The final name.

    Yields
    ------
    Path
        The name to write to, in the same folder; removed if the block raises.
    """
    final = Path(path)
    partial = final.with_name(f".{final.stem}.partial{final.suffix}")
    try:
        yield partial
        os.replace(partial, final)
    finally:
        with contextlib.suppress(FileNotFoundError):
            partial.unlink()
