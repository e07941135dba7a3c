"""Journals of a blob search: one for each channel, and one more for each search of extreme responses."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from tilecore.engine.options import RunOptions

__all__ = ["journals_of", "of_channel", "of_extremes"]


def of_channel(run: RunOptions, channel: int, n_channels: int) -> RunOptions:
    """Return the run options of one channel, with its own journal."""
    return _with_suffix(run, f".channel{channel}") if n_channels > 1 else run.copy()


def of_extremes(run: RunOptions) -> RunOptions:
    """Return the run options of the search for the smallest and the largest response, with its own journal."""
    return _with_suffix(run, ".extremes")


def journals_of(path: str | os.PathLike[str], channels: Collection[int]) -> list[Path]:
    """List the paths of all journals that a search in some channels may have left."""
    runs = [of_channel({"journal": path}, channel, len(channels)) for channel in channels]
    found = [each.get("journal") for run in runs for each in (run, of_extremes(run))]
    return [Path(each) for each in found if isinstance(each, (str, os.PathLike))]


def _with_suffix(run: RunOptions, suffix: str) -> RunOptions:
    options = run.copy()
    if isinstance(journal := run.get("journal"), (str, os.PathLike)):
        options["journal"] = f"{os.fspath(journal)}{suffix}"
    return options
