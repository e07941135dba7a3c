"""Finishing of runs in parts: what all parts have done becomes one result."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from tilecore.engine.finished_mark import mark_finished, mark_of
from tilecore.engine.journal_file import lines_of
from tilecore.engine.journal_values import decode
from tilecore.engine.parts.plan import Plan
from tilecore.engine.parts.run_folder import RunFolder
from tilecore.engine.parts.run_part import RunPart
from tilecore.errors import JournalError, MissingFileError, ParameterError
from tilecore.formats.creating import sink_of
from tilecore.formats.pyramids import Level
from tilecore.geometry.tiles import TileGrid
from tilecore.objects.urls import is_url
from tilecore.output_file import Place, remove_abandoned

__all__ = ["Application", "DoneRun", "done_run"]

#: What makes a result of the tiles' results: called with the grid, the results by number, and the facts of the part.
Application: TypeAlias = Callable[[TileGrid, Mapping[int, Any], Mapping[str, Any]], object]

# Number of missing tiles that an error names.
_MOST_NAMED = 5


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
        elif not self.folder.has_named(self.path):  # otherwise an earlier call has, and was killed then
            raise self.folder.refuse("belongs to a run whose output, unfinished, somebody has removed")
        for each in self.folder.rivals(self.plan):
            Place(sink.path, each).discard()
        self.tidy()
        remove_abandoned(sink.path)  # what an earlier call has left that was killed
        return sink.result()

    def tidy(self) -> None:
        """Remove the folder, once what came of the run has its name; a part that is started again will know that."""
        if not mark_finished(self.path, self.plan.run):
            self.folder.mark_finished(mark_of(self.path, self.plan.run))
        self.folder.remove()

    def results(self, applications: Mapping[str, Application]) -> object:
        """What becomes of the results of the tiles, by the application of the run; the folder stays."""
        part, grid = self.plan.part, self.plan.grid
        if not part.application:
            return [self.values[number] for number in range(grid.size)]
        return applications[part.application](grid, self.values, part.facts)


@contextlib.contextmanager
def done_run(path: str | os.PathLike[str]) -> Iterator[DoneRun]:
    """Have a run in parts for a ``with`` block, so that no part begins, and check that all tiles are done.

    Raises
    ------
    MissingFileError, ParameterError, JournalError
        As for `tilecore.finish`.
    """
    if is_url(os.fspath(path)):
        why = "runs in parts write to file systems, so that none is to be finished in an object store"
        raise ParameterError.of("path", os.fspath(path), why)
    name = Path(os.path.abspath(os.path.expanduser(path)))
    folder = RunFolder(name)
    if folder.plan is None:
        raise MissingFileError.of("path", str(name), _nothing_to_finish(name, folder))
    try:
        folder.finishing.take()
    except BlockingIOError as error:
        raise JournalError(f"{name} is being finished by {error.strerror}: wait for its end") from error
    except FileNotFoundError as error:
        raise MissingFileError.of("path", str(name), "has just been finished by another process") from error
    try:
        plan = folder.plan
        if plan is None:
            raise MissingFileError.of("path", str(name), "has just been finished by another process")
        if at_work := folder.at_work(plan):
            raise JournalError(_at_work(at_work))
        yield DoneRun(name, folder, plan, _values_of(plan, folder))
    finally:
        folder.finishing.end()


def _values_of(plan: Plan, folder: RunFolder) -> dict[int, Any]:
    """Results of all tiles, which must be done, as far as the journals keep them."""
    grid, left, values = plan.grid, Counter[int](), {}
    missing: list[int] = []
    for number in range(1, plan.part.count + 1):
        part, done = plan.part.numbered(number), set[int]()
        for journal in folder.journals_of(part, plan):
            for line in lines_of(journal)[1:]:
                done.add(line["t"])
                if "v" in line:
                    values[line["t"]] = decode(line["v"])
        due = [each for each in part.numbers(grid.size) if each not in done]
        left[number] = len(due)
        missing += due[: _MOST_NAMED - len(missing)]
    if left.total():
        raise JournalError(_missing(plan, grid, left, missing, folder))
    return values


def _at_work(parts: Sequence[tuple[RunPart, str]]) -> str:
    """Say which parts run."""
    (first, who), *others = parts
    if not others:
        return f"{first} still runs, as {who}: wait for its end"
    numbers = ", ".join(str(part.number) for part, _ in parts)
    return f"parts {numbers} of {first.count} still run, {first.number} as {who}: wait for their end"


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
