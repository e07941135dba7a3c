"""The function `finish`: a run in parts becomes what the verb returns that does the whole run at once."""

from __future__ import annotations

import os

from tilecore.blobs.gathering import table_of
from tilecore.engine.mapping import level_maker
from tilecore.engine.options import Options, RunOptions
from tilecore.engine.parts.finishing import Application, done_run
from tilecore.executors.base import Executor

__all__ = ["APPLICATIONS", "finish"]

#: What makes a result of the tiles' results, by the name that the parts of a run know it by.
APPLICATIONS: dict[str, Application] = {"blobs": table_of}


def finish(
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    executor: str | Executor = "processes",
    workers: int | None = None,
    max_memory: int | str | None = None,
    progress: bool | None = None,
) -> object:
    """Complete a run in parts, all of which are done: give its output the final name, or return its results.

    Parameters
    ----------
    path : path_like
        The output of `map_tiles`; of other verbs, the path that was given as ``journal``.
    overwrite : bool
        Whether the output may replace a file of its name, also if the parts were not told so.
    executor, workers, max_memory, progress
        As for `map_tiles`, which makes the levels of a pyramid.

    Returns
    -------
    FileSource, list or Blobs
        What the verb returns that does the whole run at once: of `map_tiles` the opened output; of `collect_tiles` the
        list of results, and of `detect_blobs` the table. These two are in memory alone: so the folder ``<path>.run``
        with the results of the parts stays, and it may be removed when they are safe.

    Raises
    ------
    MissingFileError
        If there is no such run.
    ParameterError
        If the path is a URL: no run in parts writes there.
    JournalError
        If a part is running, or tiles are missing: the message names them, and what runs them. Nothing is lost then.
    OutputExistsError
        If there is a file of the output's name. Nothing is lost then.

    Notes
    -----
    Process-safety: no part can begin meanwhile. If this process is killed, call it again.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from tilecore import finish, map_tiles
    >>> volume = np.arange(64.0).reshape(4, 4, 4)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     out = os.path.join(folder, "roots.zarr")
    ...     for number in (2, 1):
    ...         map_tiles(np.sqrt, volume, tile_shape=2, out=out, shard=(number, 2), executor="serial")
    ...     np.array_equal(finish(out)[...], np.sqrt(volume))
    True
    """
    run = RunOptions(executor=executor, workers=workers, max_memory=max_memory, progress=progress)
    Options.of(run)
    with done_run(path) as done:
        if done.plan.sink is None:
            return done.results(APPLICATIONS)
        return done.complete(level_maker(run), overwrite=overwrite)
