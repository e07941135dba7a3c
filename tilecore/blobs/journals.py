"""Journals of a blob search: one for each channel and time, and one more for each search of extreme responses."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from tilecore.blobs.channels import Channels
from tilecore.engine.options import RunOptions
from tilecore.errors import ParameterError

__all__ = ["journals_of", "of_extremes", "of_place"]


def of_place(run: RunOptions, place: Mapping[str, int], channels: Channels) -> RunOptions:
    """Return the run options of the search in one of the channels, at one time, with its own journal."""
    if run.get("shard") is not None:
        if len(list(channels.places())) > 1:  # several runs
            raise ParameterError("shard: parts search one channel at one time: give channel (and time), a run for each")
        return run
    several = set(place) - (set() if len(channels.volumes) > 1 else {"channel"})
    return _with_suffix(run, "".join([f".{name}{number}" for name, number in place.items() if name in several]))


def of_extremes(run: RunOptions) -> RunOptions:
    """Return the run options of the search for the smallest and the largest response, with its own journal."""
    return _with_suffix(run, ".extremes")


def journals_of(path: str | os.PathLike[str], channels: Channels) -> list[Path]:
    """List the paths of all journals that a search in some channels may have left."""
    runs = [of_place({"journal": path}, place, channels) for place, _ in channels.places()]
    found = [each.get("journal") for run in runs for each in (run, of_extremes(run))]
    return [Path(each) for each in found if isinstance(each, (str, os.PathLike))]


def _with_suffix(run: RunOptions, suffix: str) -> RunOptions:
    options = run.copy()
    if isinstance(journal := run.get("journal"), (str, os.PathLike)):
        options["journal"] = f"{os.fspath(journal)}{suffix}"
    return options
