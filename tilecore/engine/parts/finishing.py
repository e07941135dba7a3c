"""The function `finish`: a run in parts becomes one result when all of its parts are done."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tilecore import plugins
from tilecore.engine.finished_mark import mark_finished
from tilecore.engine.journal import Journal
from tilecore.engine.mapping import level_maker
from tilecore.engine.options import Options, RunOptions
from tilecore.engine.parts.plan import Plan
from tilecore.engine.parts.run_folder import RunFolder
from tilecore.engine.parts.run_part import RunPart
from tilecore.errors import JournalError, MissingFileError
from tilecore.executors.base import Executor
from tilecore.formats.creating import sink_of
from tilecore.formats.pyramids import Level
from tilecore.geometry.tiles import TileGrid
from tilecore.output_file import remove_abandoned

__all__ = ["DoneRun", "done_run", "finish"]

#: What makes a result of the tiles' results, ``function(grid, values, facts)``, by the name of the application.
APPLICATIONS = {"blobs": "tilecore.blobs.gathering:table_of"}

# Number of missing tiles that an error names.
_MOST_NAMED = 5


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
        return done.results() if done.plan.sink is None else done.complete(level_maker(run), overwrite=overwrite)


@dataclass(frozen=True)
class DoneRun:
    """A run in parts of which all tiles are done, and which this process alone has.

    Attributes
    ----------
    path : Path
        The output, or the name of the run.
    folder : RunFolder
        Its folder.
    plan : Plan
        Its plan.
    values : dict of int to object
        Results of the tiles by number, where there is no output.
    """

    path: Path
    folder: RunFolder
    plan: Plan
    values: Mapping[int, Any]

    def complete(self, make_level: Callable[[Level], object], *, overwrite: bool = False) -> object:
        """Make the levels of the output's pyramid, give it its name, and remove the folder; return it, opened."""
        spec, token = self.plan.sink, self.plan.tokens[0]
        assert spec is not None and token is not None
        sink = sink_of(replace(spec, overwrite=spec.overwrite or overwrite))
        if sink.can_continue(token):
            sink.refuse_existing()
            sink.token = token
            sink.reopen()
            try:
                for level in sink.levels():
                    make_level(level)
                sink.complete()
                self.folder.note_output(sink.place.data)
                sink.commit()
            except BaseException:
                sink.release()
                raise
            mark_finished(sink.path, self.plan.run)
        elif not self.folder.has_named(self.path):  # otherwise an earlier call has, and was killed then
            raise self.folder.refuse("belongs to a run whose output, unfinished, somebody has removed")
        self.folder.remove()
        remove_abandoned(sink.path)  # what an earlier call has left that was killed
        return sink.result()

    def results(self) -> object:
        """What becomes of the results of the tiles; the folder stays."""
        part, grid = self.plan.part, self.plan.grid
        if not part.application:
            return [self.values[number] for number in range(grid.size)]
        result: object = plugins.load(APPLICATIONS[part.application])(grid, self.values, part.facts)
        return result


@contextlib.contextmanager
def done_run(path: str | os.PathLike[str]) -> Iterator[DoneRun]:
    """Lock a run in parts for a ``with`` block, so that no part begins, and check that all tiles are done.

    Raises
    ------
    MissingFileError, JournalError
        As for `finish`.
    """
    name = Path(os.path.abspath(os.path.expanduser(path)))
    folder = RunFolder(name)
    plan = folder.plan
    if plan is None:
        raise MissingFileError.of("path", str(name), _nothing_to_finish(name, folder))
    try:
        folder.lock(patience=1)
    except BlockingIOError as error:
        raise JournalError(f"{name} is being finished by another process, or a part begins just now") from error
    try:
        grid, left, values = plan.grid, Counter[int](), {}
        missing: list[int] = []
        for number in range(1, plan.part.count + 1):
            part = replace(plan.part, number=number)
            with _journal_of(part, folder, plan, grid) as journal:
                values.update(journal.values)
                due = [each for each in part.numbers(grid.size) if not (journal.continues and journal.is_done(each))]
            left[number] = len(due)
            missing += due[: _MOST_NAMED - len(missing)]
        if left.total():
            raise JournalError(_missing(plan, grid, left, missing, folder))
        yield DoneRun(name, folder, plan, values)
    finally:
        folder.unlock()


def _journal_of(part: RunPart, folder: RunFolder, plan: Plan, grid: TileGrid) -> Journal:
    """The journal of a part, which must not be running."""
    try:
        journal = Journal(folder.journal_of(part), plan.header["run"], resume=True)
    except JournalError as error:
        if not isinstance(error.__cause__, BlockingIOError):
            raise
        raise JournalError(f"{part} still runs: wait for its end ({folder.journal_of(part)} is in use)") from error
    try:
        journal.outputs = plan.tokens
        if journal.continues:
            journal.begin(grid)
        return journal
    except BaseException:
        journal.close()
        raise


def _nothing_to_finish(name: Path, folder: RunFolder) -> str:
    if folder.path.exists():
        return f"no part of this run has begun its work yet ({folder.path} has no plan)"
    if name.exists():
        return "exists already, and there is no run in parts to be finished"
    return f"there is no run in parts of this name, as {folder.path} does not exist: start its parts first"


def _missing(plan: Plan, grid: TileGrid, left: Counter[int], missing: list[int], folder: RunFolder) -> str:
    """Say which tiles are missing, and what runs them."""
    named = ", ".join(f"tile {grid[number].index}" for number in missing)
    more = f" and {left.total() - len(missing)} more" if left.total() > len(missing) else ""
    parts = [str(number) for number, n_left in sorted(left.items()) if n_left]
    count, these = plan.part.count, f"I = {', '.join(parts)}"
    how = f"call the verb again with shard=(I, {count}) for {these}"
    if plan.part.command:
        how = f"run  {shlex.join(plan.part.command)} --shard I/{count}  for {these}"
    return f"{folder.path}: {left.total()} of {grid.size} tiles are not done: {named}{more}. To do them, {how}"
