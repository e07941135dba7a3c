"""A run of `rechunk`: its passes, its temporary file, and what it leaves in the output's folder to be continued."""

from __future__ import annotations

import errno
import json
import logging
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np
import numpy.typing as npt

from tilecore.arrays.tile_ordered import TileOrderedFile
from tilecore.engine.declared import declare
from tilecore.engine.finished_mark import commit_marked, is_finished
from tilecore.engine.identity.comparing import are_same, differences, what_is_unknown
from tilecore.engine.identity.fingerprint import fingerprint
from tilecore.engine.inputs import Inputs
from tilecore.engine.jobs import MapJob
from tilecore.engine.journal_file import has_tiles
from tilecore.engine.mapping import level_maker, map_tiles
from tilecore.engine.options import Options, RunOptions
from tilecore.engine.output_kinds import Owned
from tilecore.errors import JournalError, SourceChangedError
from tilecore.formats.file_sink import FileSink
from tilecore.formats.source import FileSource
from tilecore.formats.writer_errors import writing
from tilecore.geometry.rechunking import RechunkPlan
from tilecore.geometry.tiles import TileGrid
from tilecore.machine import free_space
from tilecore.objects.paths import ObjectPath
from tilecore.objects.places import all_places, remove_left
from tilecore.objects.requests import tidying
from tilecore.output_file import write_in_one_piece

__all__ = ["RechunkRun"]

_log = logging.getLogger(__name__)

# Names in the output's folder; those of the output itself and of its lock differ.
_NOTE, _BETWEEN = "rechunk.json", "rechunk.voxels"
_JOURNALS = ("rechunk.first.journal", "rechunk.second.journal")

Same = TypeVar("Same")


@declare(
    name=lambda number, of, **_: f"pass {number} of {of}" if of > 1 else "rechunk",
    bytes_per_voxel=lambda needed, **_: needed,
)
def same_voxels(block: Same, **_pass: float) -> Same:
    """Leave a tile as it is; the run has the name of its pass."""
    return block


@dataclass
class RechunkRun:
    """One call of `rechunk`, in a ``with`` block: however it ends, it leaves only what a later run can continue.

    All that it writes lies in the folder of its output, which vanishes when the output gets its name: the temporary
    file, the journals of the passes, and a note with the plan, as a later run may have less memory or other workers.

    Attributes
    ----------
    plan : RechunkPlan
        The passes.
    inputs : Inputs
        The source.
    sink : FileSink
        The output, not yet created.
    options : Options
        Options of the run.
    run : RunOptions
        The same as the caller has given them.
    """

    plan: RechunkPlan
    inputs: Inputs
    sink: FileSink
    options: Options
    run: RunOptions

    def __post_init__(self) -> None:
        # Beside an object store's output there is no folder: the temporary file lies on this machine, until the end. So
        # a later run begins the first of two passes again, but not the second one.
        self._here: tempfile.TemporaryDirectory[str] | None = None
        self._keeps = self.options.journal is not False
        self._described = self._description() if self._keeps else {}

    @property
    def is_finished(self) -> bool:
        """Whether the run is continued, and an earlier one has completed the same output."""
        known = self.options.resume and self.sink.path.exists() and not what_is_unknown(self._described)
        return known and is_finished(self.sink.path, self._described)

    def tidy_up(self) -> None:
        """Remove what this run has left in an object store, if it was killed after it had completed the output."""
        path = self.sink.path
        if isinstance(path, ObjectPath):
            notes = [_read_note(place.folder / _NOTE) for place in all_places(path)]
            if all(note is None or are_same(note["run"], self._described) for note in notes):
                with tidying(str(path)):
                    remove_left(path)

    def begin(self) -> None:
        """Create the output and the temporary file, or open those of an earlier run.

        Raises
        ------
        OutputExistsError
            If there is a file of its name.
        DiskSpaceError
            If the disk has not enough free space for both.
        JournalError
            If an earlier run that is to be continued had another source or another output.
        """
        self.sink.refuse_existing()
        is_url = isinstance(self.sink.path, ObjectPath)
        if self.options.resume and self._reopen():
            if is_url:
                self._make_between()
            return
        if not is_url:
            self._check_space(self.plan.temporary_bytes)
        self.sink.create(self._dtype, alone=True)
        self.sink.flush()  # so that it can be opened again even if it is first written in the second pass
        self._make_between()
        if self._keeps:
            self._write_note()

    def work(self) -> None:
        """Run the passes that have not ended; errors are those of `map_tiles`."""
        passes = self.plan.passes
        arrays: list[Any] = [self.inputs.arrays[0], self.sink]
        if len(passes) > 1:
            path, shape, tiles = str(self._between), self.plan.problem.shape, [p.tile_shape for p in passes]
            arrays.insert(1, TileOrderedFile(path, shape, self._dtype, *tiles))
        for number, each in enumerate(passes):
            source: Any = arrays[number]
            target: Any = Owned(arrays[number + 1])
            map_tiles(
                same_voxels,
                source,
                out=target,
                tile_shape=each.tile_shape,
                kwargs={"number": number + 1, "of": len(passes), "needed": each.bytes_per_voxel},
                **self._options_of("" if self._here is not None and number == 0 else _JOURNALS[number]),
            )

    def finish(self) -> FileSource | npt.NDArray[Any]:
        """Make the levels of a pyramid, and give the output its name."""
        make_level = level_maker(self._options_of(""))
        for level in self.sink.levels():
            make_level(level)
        self.sink.complete()
        is_known = self._keeps and not what_is_unknown(self._described)
        commit_marked(self.sink, self._described if is_known else None)
        return self.sink.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._here is not None:
            self._here.cleanup()
        if not self.sink.is_created:
            return
        if self._has_tiles and not isinstance(error, SourceChangedError):
            _log.info("%s holds what was done; resume=True (--resume) continues it", self._folder)
            self.sink.release()
        else:
            self.sink.discard()

    def _check_space(self, temporary: int) -> None:
        """Refuse a disk that has no room for the temporary file and the output beside each other."""
        # The output is taken for half as large as its voxels; without a temporary file it checks the space itself.
        needed = temporary + self.plan.problem.n_bytes // 2
        with writing(self.sink.path, needed):
            if temporary and needed > free_space(self.sink.path.parent):
                raise OSError(errno.ENOSPC, "no room for the temporary file and the output")

    def _make_between(self) -> None:
        """Make the temporary file, if there are two passes."""
        n_bytes, is_url = self.plan.temporary_bytes, isinstance(self.sink.path, ObjectPath)
        if n_bytes:
            self._here = tempfile.TemporaryDirectory(prefix="tilecore-") if is_url else None
            _reserve(self._between, self._between if is_url else self.sink.path, n_bytes)

    def _write_note(self) -> None:
        note = json.dumps({"run": self._described, "tiles": [each.tile_shape for each in self.plan.passes]})
        path = self._folder / _NOTE
        if isinstance(path, ObjectPath):
            path.write_text(note)
        else:
            write_in_one_piece([note.encode()], str(path), str(self._folder))

    @property
    def _folder(self) -> Path:
        return self.sink.place.folder

    @property
    def _between(self) -> Path:
        return (self._folder if self._here is None else Path(self._here.name)) / _BETWEEN

    @property
    def _dtype(self) -> np.dtype[Any]:
        dtype: np.dtype[Any] = self.inputs.arrays[0].dtype.newbyteorder("=")
        return dtype

    @property
    def _has_tiles(self) -> bool:
        """Whether a journal lists a tile, after its first line."""
        return self._keeps and any(has_tiles(self._folder / name) for name in _JOURNALS)

    def _options_of(self, journal: str) -> RunOptions:
        """Options of one pass: those of the caller, with the journal in the output's folder; without a name, none."""
        options = self.run.copy()
        options["resume"] = keeps = self._keeps and bool(journal)
        options["journal"] = self._folder / journal if keeps else False
        if isinstance(self.options.executor, str):
            options["workers"] = self.plan.workers
        return options

    def _reopen(self) -> bool:
        """Take over the folder of an earlier run with its plan; False if there is none that can be continued."""
        for place in all_places(self.sink.path):
            note = _read_note(place.folder / _NOTE)
            if note is None or not self.sink.can_continue(place.token):
                continue
            if not are_same(note["run"], self._described):
                details = "; ".join(differences(note["run"], json.loads(json.dumps(self._described))))
                raise JournalError(
                    f"{place.folder} belongs to another run: {details}. Without resume the run starts over"
                )
            self.sink.token = place.token
            self.sink.reopen()
            self.plan = self.plan.with_tiles([tuple(tile_shape) for tile_shape in note["tiles"]])
            return True
        return False

    def _description(self) -> dict[str, Any]:
        """What the run does, without its tiles: the source and the output, as JSON values."""
        shape, spec = self.plan.problem.shape, self.sink.spec
        grid = TileGrid(shape, [max(length, 1) for length in shape])
        job = MapJob(same_voxels, {"number": 1, "of": 1})
        target = {
            "dtype": str(self._dtype),
            "units": list(self.plan.problem.units),
            "chunks": list(spec.chunks or ()),
            "codec": spec.codec,
            "axes": spec.axes,
            "dataset": spec.dataset,
            "pyramid": spec.pyramid,
            "ome_zarr_version": spec.ome_zarr_version,
        }
        return fingerprint(job, self.inputs, grid, self.options.identity) | {"target": target}


def _read_note(path: Path) -> dict[str, Any] | None:
    try:
        note: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:  # of a run of another kind, or one that was killed at its beginning
        return None
    return note


def _reserve(path: Path, output: Path, n_bytes: int) -> None:
    """Create the temporary file and reserve its space now, so that a full disk is found before any work."""
    with writing(output, n_bytes), path.open("xb") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, n_bytes)
        else:
            file.truncate(n_bytes)
