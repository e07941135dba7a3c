"""Journal of a run: the record of its finished tiles, readable after any crash."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tilecore.engine.identity.comparing import are_same, differences, what_is_unknown
from tilecore.engine.journal_file import open_journal
from tilecore.engine.journal_lines import line_of
from tilecore.engine.journal_values import decode, encode
from tilecore.errors import JournalError
from tilecore.geometry.tiles import TileGrid
from tilecore.objects.paths import path_of

__all__ = ["FORMAT", "Journal", "header_of", "other_run"]

_log = logging.getLogger(__name__)

#: Version of the file's format; other versions are refused.
FORMAT = 3

# Time between two writes of all data to the disks, for runs that must survive a power failure [s].
_SYNC_SECONDS = 1.0


class Journal:
    """An append-only record of the finished tiles of one run.

    The file's first line describes the run: the tiles, and a fingerprint of function, arguments
    and sources. Each other line is a finished tile with its own checksum. A line is written
    after the tile's result, in one write. If a crash leaves an incomplete line, it is the last
    one, and it is dropped.

    Parameters
    ----------
    path : path_like
        Path of the file; at a URL it is several objects, see `JournalObjects`.
    fingerprint : dict
        Description of the run as JSON values; a file with another one is refused.
    resume : bool
        Whether to continue the run in the file; otherwise the file is emptied.
    durable : bool
        Whether lines must be true even after a power failure: each is held back until the system has
        written everything to the disks, once a second.

    Attributes
    ----------
    continues : bool
        Whether the file holds a run to continue.
    n_done : int
        Number of finished tiles.
    values : dict
        Results of finished tiles by number, if the journal keeps results.
    outputs : list of (str or None)
        Token of each output, which tells it from a new output of the same name; None if unknown. At first these are
        the tokens in the file; those of the run must be set before `begin`.

    Raises
    ------
    JournalError
        If the file is damaged or in use by another process.

    Notes
    -----
    Process-safety: the process that runs the tiles writes the file; a lock, which the kernel
    releases with the process, excludes a second one.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        fingerprint: dict[str, Any],
        *,
        resume: bool = False,
        durable: bool = False,
    ) -> None:
        self.path = path_of(path)
        self._durable, self._held_back, self._last_sync = durable, b"", time.monotonic()
        self.values: dict[int, Any] = {}
        self._checksums: dict[int, list[int]] = {}
        self.n_done = 0
        self._fingerprint: dict[str, Any] = json.loads(json.dumps(fingerprint))
        self._unknown = what_is_unknown(self._fingerprint)
        self._done, self._n_tiles = _bits(0), 0
        self._file = open_journal(self.path)
        try:
            self._lines = self._file.read()
            if not resume:
                if len(self._lines) > 1:
                    _log.warning("%s: %s", self.path, _thrown_away(self._lines, self._fingerprint))
                self._forget()
        except BaseException:
            self.close()
            raise
        self.continues = bool(self._lines)
        self.outputs: list[str | None] = self._lines[0].get("outputs", []) if self.continues else []

    @property
    def is_of_this_run(self) -> bool:
        """Whether the file describes this run, whatever its tiles."""
        header = self._lines[0] if self._lines else {}
        if header.get("tilecore_journal") != FORMAT:
            return False
        return not other_run(header, self._fingerprint, [None] * len(header["tiles"]["tile_shape"]))

    def begin(self, grid: TileGrid, asked: Sequence[int | None] | None = None) -> TileGrid:
        """Write the description of the run, or compare it with the one in the file.

        Parameters
        ----------
        grid : TileGrid
            Tiles of the run.
        asked : sequence of (int or None), optional
            Length of a tile along each axis; None where it is that of the earlier run. Default: those of the grid.

        Returns
        -------
        TileGrid
            Tiles to work on.

        Raises
        ------
        JournalError
            If the file belongs to another run; the message tells the difference.
        """
        if not self.continues:
            if self._unknown:
                _log.warning("%s: if this run is killed, it cannot be continued: %s", self.path, self._unknown)
            self._done, self._n_tiles = _bits(grid.size), grid.size
            self._write_header(grid)
            return grid
        agreed = self._compare(self._lines[0], grid, grid.tile_shape if asked is None else asked)
        self._done, self._n_tiles = _bits(agreed.size), agreed.size
        self._take(self._lines[1:], agreed.size)
        self._lines = []
        return agreed

    def include(self, lines: list[dict[str, Any]]) -> None:
        """Take what the journal of an earlier process of the same run has recorded, all of its lines, into account."""
        self._take(lines[1:], self._n_tiles)

    def restart(self) -> None:
        """Empty the journal, because the outputs that it refers to no longer exist."""
        self._forget()
        self.continues = False

    def _forget(self) -> None:
        """Empty the file at once: its outputs are written from the start now, and this run may be killed any time."""
        self._file.clear()
        self._lines = []

    @property
    def has_tiles(self) -> bool:
        """Whether an earlier run has finished any tile; False once it begins again."""
        return len(self._lines) > 1

    @property
    def is_useless(self) -> bool:
        """Whether the journal holds nothing of use to any run."""
        return self.n_done == 0 and not self.continues

    @property
    def is_unknown(self) -> bool:
        """Whether a later run could not be recognized as the same."""
        return bool(self._unknown)

    def is_done(self, number: int) -> bool:
        """Whether a tile is finished."""
        return bool(self._done[number >> 3] & (1 << (number & 7)))

    def record(self, number: int, checksums: Sequence[int] | None = None) -> None:
        """Record that a tile is finished; its result, with these checksums, is in the outputs."""
        self._record(number, line_of({"t": number} if checksums is None else {"t": number, "c": list(checksums)}))

    def keep_only(self, holds: Callable[[int, Sequence[int]], bool]) -> None:
        """Forget finished tiles whose results are no longer in the outputs.

        Parameters
        ----------
        holds : callable
            ``holds(number, checksums)``: whether the tile's voxels still have these checksums.
        """
        self._done[:] = 0
        self.n_done = 0
        for number, checksums in self._checksums.items():
            if holds(number, checksums):
                self._mark(number)
        self._checksums.clear()

    def record_result(self, number: int, value: object) -> None:
        """Record that a tile is finished, together with its result, which is stored nowhere else.

        Raises
        ------
        JournalError
            If a result of this type cannot be stored.
        """
        self._record(number, line_of({"t": number, "v": encode(value)}))

    def remove(self) -> None:
        """Close the file and remove it, when the run is complete or nothing can be continued."""
        if self._durable and self.n_done:
            os.sync()  # so that the output under its final name is on the disk first
        self._held_back = b""
        self._file.remove()

    def close(self) -> None:
        """Close the file and release its lock."""
        self.release()
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write_header(self, grid: TileGrid) -> None:
        self._file.clear()
        self._file.write(line_of(header_of(grid, self.outputs, self._fingerprint)))

    def _record(self, number: int, line: bytes) -> None:
        self._mark(number)
        if not self._durable:
            self._file.write(line)
            return
        self._held_back += line
        if time.monotonic() - self._last_sync > _SYNC_SECONDS:
            self.release()

    def release(self) -> None:
        """Write the lines that were held back, after the results that they refer to."""
        if self._held_back:
            os.sync()
            self._file.write(self._held_back)
            self._file.sync()
            self._held_back = b""
        self._last_sync = time.monotonic()

    def _compare(self, header: dict[str, Any], grid: TileGrid, asked: Sequence[int | None]) -> TileGrid:
        """Refuse the journal of another run; return the grid to work on."""
        found = header.get("tilecore_journal")
        if found != FORMAT:
            raise JournalError(f"{self.path} is no journal of format {FORMAT}, but {found}; delete it to start over")
        tiles = header["tiles"]
        if details := other_run(header, self._fingerprint, asked):
            raise JournalError(f"{self.path} belongs to another run: {details}. Without resume the run starts over")
        if self._unknown:
            raise JournalError(f"{self.path} cannot be continued: {self._unknown}")
        if header["outputs"] != self.outputs:
            raise JournalError(
                f"{self.path} refers to another output: this one was created again since, and finished tiles are "
                "not in it. Leave out resume to start over; outputs that are given as paths can be continued"
            )
        return TileGrid(grid.shape, tiles["tile_shape"], grid.halo, ragged=tiles["ragged"])

    def _take(self, lines: list[dict[str, Any]], n_tiles: int) -> None:
        for line in lines:
            number = line["t"]
            if not 0 <= number < n_tiles:
                raise JournalError(f"{self.path} names tile {number} of {n_tiles}; delete it to start over")
            self._mark(number)
            if "c" in line:
                self._checksums[number] = line["c"]
            if "v" in line:
                self.values[number] = decode(line["v"])

    def _mark(self, number: int) -> None:
        self.n_done += not self.is_done(number)
        self._done[number >> 3] |= 1 << (number & 7)


def other_run(header: dict[str, Any], fingerprint: dict[str, Any], asked: Sequence[int | None]) -> str:
    """Say how the run of a header differs from another one, which asks for tiles of such lengths; empty if it is it."""
    before, now, tile_shape = dict(header["run"]), dict(fingerprint), header["tiles"]["tile_shape"]
    before["tile_shape"] = tile_shape
    pairs = zip(asked, tile_shape, strict=False)  # a run on another volume is told by its shape
    now["tile_shape"] = [there if here is None else here for here, there in pairs]
    return "; ".join(differences(before, now))


def header_of(grid: TileGrid, outputs: Sequence[str | None], fingerprint: dict[str, Any]) -> dict[str, Any]:
    """The first line of a journal, and what it tells of a run: its tiles, its outputs and what it computes."""
    tiles = {"tile_shape": list(grid.tile_shape), "ragged": grid.ragged}
    return {"tilecore_journal": FORMAT, "tiles": tiles, "outputs": list(outputs), "run": fingerprint}


def _thrown_away(lines: list[dict[str, Any]], fingerprint: dict[str, Any]) -> str:
    """Say how much of an earlier run is lost as this one does not continue it."""
    header, n_done = lines[0], len({line["t"] for line in lines[1:]})
    if header.get("tilecore_journal") != FORMAT:
        return f"{n_done} tiles done by a stopped run of another version of tilecore are made again"
    tiles, run = header["tiles"], header["run"]
    of_all = f" of {TileGrid(run['shape'], tiles['tile_shape'], ragged=tiles['ragged']).size}" if "shape" in run else ""
    done = f"{n_done}{of_all} tiles done by a stopped run"
    if not fingerprint:
        return f"{done} are made again"
    if not are_same(run, fingerprint):
        return f"{done} are thrown away; its function, arguments or sources were not those of this run"
    return f"{done} are made again; resume=True (--resume) keeps them"


def _bits(size: int) -> npt.NDArray[np.uint8]:
    """Array of one bit for each tile; the system allocates only the pages that are used."""
    return np.zeros((size >> 3) + 1, dtype=np.uint8)
