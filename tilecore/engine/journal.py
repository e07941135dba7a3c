"""The journal: which tiles of a run are finished, written so that any death leaves it readable."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
import zlib
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tilecore.engine.comparing import are_same, differences, what_is_unknown
from tilecore.engine.results_json import decode, encode
from tilecore.errors import JournalError
from tilecore.geometry.tiles import TileGrid

__all__ = ["FORMAT", "Journal"]

_log = logging.getLogger(__name__)

#: Version of the file's format; files of another one are refused.
FORMAT = 2

# Forked workers of a run that was killed hold its lock until they have ended, too.
_LOCK_SECONDS = 2.0

# How often everything is written to the disks, for runs that are to outlive a loss of power.
_SYNC_SECONDS = 1.0

_SIGNATURE = b'{"tilecore_journal":'


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
        self.n_done = 0
        self._fingerprint: dict[str, Any] = json.loads(json.dumps(fingerprint))
        self._unknown = what_is_unknown(self._fingerprint)
        self._done = _bits(0)
        self._descriptor = self._opened()
        try:
            lines = self._read()
            self._lines = lines if resume else []
            if len(lines) > 1 and not resume:
                _log.warning("%s: an unfinished run is begun anew; resume would have continued it", self.path)
        except BaseException:
            self.close()
            raise
        self.continues = bool(self._lines)

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
        self.continues, self._lines = False, []

    @property
    def is_useless(self) -> bool:
        """Whether there is nothing in it that an earlier or a later run could want."""
        return self.n_done == 0 and not self.continues

    def is_done(self, number: int) -> bool:
        """Whether a tile is finished."""
        return bool(self._done[number >> 3] & (1 << (number & 7)))

    def record(self, number: int) -> None:
        """Write that a tile is finished; its result is where it belongs."""
        self._record(number, _line({"t": number}))

    def record_result(self, number: int, value: Any) -> None:
        """Write that a tile is finished, and its result, which is nowhere else.

        Raises
        ------
        JournalError
            If the result cannot be written as data.
        """
        self._record(number, _line({"t": number, "v": encode(value)}))

    def remove(self) -> None:
        """Close the file and remove it: the run is complete, or has nothing to show."""
        self.close()
        if self._durable and self.n_done:
            os.sync()  # the output under its final name comes first
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()

    def close(self) -> None:
        """Close the file and release its lock."""
        if self._descriptor >= 0:
            self._release()
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _opened(self) -> int:
        """Open the file and lock it; again, if the run that held the lock has removed it meanwhile."""
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            descriptor = os.open(self.path, flags, 0o600)
            try:
                _lock(descriptor)
                if os.path.samestat(os.fstat(descriptor), os.stat(self.path)):
                    return descriptor
            except FileNotFoundError:
                pass
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    os.close(descriptor)
                    raise JournalError(f"{self.path} is in use by another run") from error
                time.sleep(0.02)
            os.close(descriptor)

    def _write_header(self, grid: TileGrid) -> None:
        os.ftruncate(self._descriptor, 0)
        tiles = {"tile_shape": list(grid.tile_shape), "ragged": grid.ragged}
        self._write(_line({"tilecore_journal": FORMAT, "tiles": tiles, "run": self._fingerprint}))

    def _record(self, number: int, line: bytes) -> None:
        self._mark(number)
        if not self._durable:
            self._write(line)
            return
        self._held_back += line
        if time.monotonic() - self._last_sync > _SYNC_SECONDS:
            self._release()

    def _release(self) -> None:
        """Write the lines that were held back, what they speak of first."""
        if self._held_back:
            os.sync()
            self._write(self._held_back)
            os.fsync(self._descriptor)
            self._held_back = b""
        self._last_sync = time.monotonic()

    def _write(self, line: bytes) -> None:
        while line:
            line = line[os.write(self._descriptor, line) :]

    def _read(self) -> list[dict[str, Any]]:
        """Every whole line; a torn one at the end is cut off the file."""
        content = self.path.read_bytes()
        if not content.startswith(_SIGNATURE[: len(content)]):
            raise JournalError(f"{self.path} exists and is no journal; choose another path")
        whole, newline, _ = content.rpartition(b"\n")
        lines = whole.split(b"\n") if newline else []
        parsed = [_parse(line) for line in lines]
        while parsed and parsed[-1] is None:  # a crash of the machine may leave garbage, but only at the end
            parsed.pop()
        damaged = [number for number, line in enumerate(parsed, 1) if line is None]
        if damaged:
            raise JournalError(f"{self.path} is damaged in line {damaged[0]}; delete it to start over")
        os.ftruncate(self._descriptor, sum(len(line) + 1 for line in lines[: len(parsed)]))
        return [line for line in parsed if line is not None]

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
        return TileGrid(grid.shape, tiles["tile_shape"], grid.halo, ragged=tiles["ragged"])

    def _take(self, lines: list[dict[str, Any]], n_tiles: int) -> None:
        for line in lines:
            number = line["t"]
            if not 0 <= number < n_tiles:
                raise JournalError(f"{self.path} names tile {number} of {n_tiles}; delete it to start over")
            self._mark(number)
            if "v" in line:
                self.values[number] = decode(line["v"])

    def _mark(self, number: int) -> None:
        self.n_done += not self.is_done(number)
        self._done[number >> 3] |= 1 << (number & 7)


def _bits(size: int) -> npt.NDArray[np.uint8]:
    """One bit for each tile; the system gives memory only to those that are touched."""
    return np.zeros((size >> 3) + 1, dtype=np.uint8)


def _line(content: dict[str, Any]) -> bytes:
    """A line of JSON that ends with a checksum of what stands before it."""
    text = json.dumps(content, separators=(",", ":"))
    return f'{text[:-1]},"crc":{zlib.crc32(text[:-1].encode())}}}\n'.encode()


def _parse(line: bytes) -> dict[str, Any] | None:
    text, comma, rest = line.rpartition(b',"crc":')
    if not comma or not rest.endswith(b"}") or not rest[:-1].isdigit() or zlib.crc32(text) != int(rest[:-1]):
        return None
    content: dict[str, Any] = json.loads(text + b"}")
    return content


def _lock(descriptor: int) -> None:
    try:
        import fcntl
    except ImportError:  # Windows: nobody is kept out
        return
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
