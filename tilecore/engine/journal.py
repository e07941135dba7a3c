"""The journal: which tiles of a run are finished, written so that any death leaves it readable."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tilecore.engine.identity.comparing import are_same, differences, what_is_unknown
from tilecore.engine.journal_file import JournalFile, line_of
from tilecore.engine.journal_values import decode, encode
from tilecore.errors import JournalError
from tilecore.geometry.tiles import TileGrid

__all__ = ["FORMAT", "Journal"]

_log = logging.getLogger(__name__)

#: Version of the file's format; files of another one are refused.
FORMAT = 3

# How often everything is written to the disks, for runs that are to outlive a loss of power.
_SYNC_SECONDS = 1.0


class Journal:
    """An append-only record of the finished tiles of one run.

    The file's first line says what the run is: the tiles, and a fingerprint of function,
    arguments and sources. Each further line is a finished tile with a checksum of its own.
    A line is written after the tile's result, in one piece; one that was torn by a crash
    is the last, and dropped.

    Parameters
    ----------
    path : path_like
    fingerprint : dict
        Of JSON values; a file with another one is refused.
    resume : bool
        Whether to go on with what the file has; otherwise it is begun anew.
    durable : bool
        Whether a line is to be true also after a loss of power: it is held back until the
        system has written everything to the disks, once a second.

    Attributes
    ----------
    continues : bool
        Whether there is something to go on with.
    n_done : int
        Tiles finished.
    values : dict
        Results of finished tiles, by number, where results are kept.
    outputs : list of (str or None)
        What tells each output from one that is made anew under its name, where that is known. At first
        those that the file speaks of; those of the run must be set before it begins.

    Raises
    ------
    JournalError
        If the file is damaged or in use by another process.

    Notes
    -----
    Process-safety: written by the process that runs the tiles; a lock, which the kernel
    releases with the process, keeps a second one out.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        fingerprint: dict[str, Any],
        *,
        resume: bool = False,
        durable: bool = False,
    ) -> None:
        self.path = Path(path)
        self._durable, self._held_back, self._last_sync = durable, b"", time.monotonic()
        self.values: dict[int, Any] = {}
        self._checksums: dict[int, list[int]] = {}
        self.n_done = 0
        self._fingerprint: dict[str, Any] = json.loads(json.dumps(fingerprint))
        self._unknown = what_is_unknown(self._fingerprint)
        self._done = _bits(0)
        self._file = JournalFile(self.path)
        try:
            self._lines = self._file.read()
            if not resume:
                if len(self._lines) > 1:
                    _log.warning("%s: an unfinished run is begun anew; resume would have continued it", self.path)
                self._forget()
        except BaseException:
            self.close()
            raise
        self.continues = bool(self._lines)
        self.outputs: list[str | None] = self._lines[0].get("outputs", []) if self.continues else []

    def begin(self, grid: TileGrid, *, planned: bool = False) -> TileGrid:
        """Write what the run is, or compare it with what the file says.

        Parameters
        ----------
        grid : TileGrid
        planned : bool
            Whether the tile shape was left to tilecore, and may be that of the earlier run.

        Returns
        -------
        TileGrid
            The tiles to work on.

        Raises
        ------
        JournalError
            If the file belongs to another run; the message says what differs.
        """
        if not self.continues:
            if self._unknown:
                _log.warning("%s: if this run is killed it cannot be continued: %s", self.path, self._unknown)
            self._done = _bits(grid.size)
            self._write_header(grid)
            return grid
        agreed = self._compare(self._lines[0], grid, planned=planned)
        self._done = _bits(agreed.size)
        self._take(self._lines[1:], agreed.size)
        self._lines = []
        return agreed

    def restart(self) -> None:
        """Forget what the file has, because what it speaks of is not there."""
        self._forget()
        self.continues = False

    def _forget(self) -> None:
        """Empty the file at once: what it speaks of is made anew from now on, and this run may be killed meanwhile."""
        self._file.clear()
        self._lines = []

    @property
    def has_tiles(self) -> bool:
        """Whether an earlier run has finished any; as long as it has not begun again."""
        return len(self._lines) > 1

    @property
    def is_useless(self) -> bool:
        """Whether there is nothing in it that an earlier or a later run could want."""
        return self.n_done == 0 and not self.continues

    @property
    def is_unknown(self) -> bool:
        """Whether nobody can tell if a later run is the same one."""
        return bool(self._unknown)

    def is_done(self, number: int) -> bool:
        """Whether a tile is finished."""
        return bool(self._done[number >> 3] & (1 << (number & 7)))

    def record(self, number: int, checksums: Sequence[int] | None = None) -> None:
        """Write that a tile is finished; its result, of these checksums, is where it belongs."""
        self._record(number, line_of({"t": number} if checksums is None else {"t": number, "c": list(checksums)}))

    def keep_only(self, holds: Callable[[int, Sequence[int]], bool]) -> None:
        """Forget the tiles whose results are not, or no longer, where they belong.

        Parameters
        ----------
        holds : callable
            ``holds(number, checksums)``: whether the voxels of a tile still have these checksums.
        """
        self._done[:] = 0
        self.n_done = 0
        for number, checksums in self._checksums.items():
            if holds(number, checksums):
                self._mark(number)
        self._checksums.clear()

    def record_result(self, number: int, value: object) -> None:
        """Write that a tile is finished, and its result, which is nowhere else.

        Raises
        ------
        JournalError
            If the result cannot be written as data.
        """
        self._record(number, line_of({"t": number, "v": encode(value)}))

    def remove(self) -> None:
        """Close the file and remove it: the run is complete, or has nothing to show."""
        if self._durable and self.n_done:
            os.sync()  # the output under its final name comes first
        if os.name == "nt":  # an open file keeps its name
            self.close()
        with contextlib.suppress(FileNotFoundError):  # while it is locked: nobody else has begun another
            self.path.unlink()
        self.close()

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
        tiles = {"tile_shape": list(grid.tile_shape), "ragged": grid.ragged}
        header = {"tilecore_journal": FORMAT, "tiles": tiles, "outputs": self.outputs, "run": self._fingerprint}
        self._file.write(line_of(header))

    def _record(self, number: int, line: bytes) -> None:
        self._mark(number)
        if not self._durable:
            self._file.write(line)
            return
        self._held_back += line
        if time.monotonic() - self._last_sync > _SYNC_SECONDS:
            self.release()

    def release(self) -> None:
        """Write the lines that were held back, what they speak of first."""
        if self._held_back:
            os.sync()
            self._file.write(self._held_back)
            self._file.sync()
            self._held_back = b""
        self._last_sync = time.monotonic()

    def _compare(self, header: dict[str, Any], grid: TileGrid, *, planned: bool) -> TileGrid:
        """Refuse the journal of another run; give the grid to go on with."""
        found = header.get("tilecore_journal")
        if found != FORMAT:
            raise JournalError(f"{self.path} is no journal of format {FORMAT}, but {found}; delete it to start over")
        before, now, tiles = dict(header["run"]), dict(self._fingerprint), header["tiles"]
        if not planned:
            before["tile_shape"], now["tile_shape"] = tiles["tile_shape"], list(grid.tile_shape)
        if not are_same(before, now):
            details = "; ".join(differences(before, now))
            raise JournalError(f"{self.path} belongs to another run: {details}. Without resume the run starts over")
        if self._unknown:
            raise JournalError(f"{self.path} cannot be continued: {self._unknown}")
        if header["outputs"] != self.outputs:
            raise JournalError(
                f"{self.path} speaks of an output that is not this one: it was made anew since, and what is done "
                "is not in it. Leave out resume to start over; outputs that are given as paths can be continued"
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


def _bits(size: int) -> npt.NDArray[np.uint8]:
    """One bit for each tile; the system gives memory only to those that are touched."""
    return np.zeros((size >> 3) + 1, dtype=np.uint8)
