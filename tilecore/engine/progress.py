"""Progress of a run: a bar, a line a minute, or nothing."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

from tilecore.bytesize import format_bytes
from tilecore.engine.events import Event, Observer, RunEnded, RunStarted, TileDone, TileFailed, TileRetried

__all__ = ["LogProgress", "ProgressBar", "choose_progress"]

_log = logging.getLogger("tilecore.progress")

# Time between two lines of a run without a bar [s].
_LINE_SECONDS = 60.0


def choose_progress(progress: bool | None, description: str = "tiles") -> Observer | None:
    """Choose the observer that shows the progress of a run.

    Parameters
    ----------
    progress : bool, optional
        True: a bar. False: nothing. Default: a bar if stderr is a terminal or in a
        notebook, otherwise a line a minute in the log (logger ``tilecore.progress``, level INFO),
        or on stderr if no log is set up.
    description : str
        Name of the run before the bar or the line.
    """
    if progress is False:
        return None
    if progress or _in_notebook() or sys.stderr.isatty():
        return ProgressBar(description)
    return LogProgress(description)


class ProgressBar:
    """A tqdm bar on stderr: tiles, voxels per second, failures, time left."""

    def __init__(self, description: str = "tiles") -> None:
        self._description = description
        self._bar: Any = None
        self._voxels = self._failed = self._retried = 0
        self._start = time.monotonic()

    def __call__(self, event: Event) -> None:
        """Update the bar for an event."""
        if isinstance(event, RunStarted):
            self._open(event)
        elif isinstance(event, TileDone):
            self._voxels += event.tile.write.size
            self._bar.update()
            self._annotate(refresh=False)
        elif isinstance(event, TileRetried):
            self._retried += 1
            self._annotate()
        elif isinstance(event, TileFailed):
            self._failed += 1
            self._annotate()
        elif isinstance(event, RunEnded):
            self._annotate()
            self._bar.close()
        else:
            self._annotate()

    def _open(self, event: RunStarted) -> None:
        from tqdm.auto import tqdm

        self._start = time.monotonic()
        self._bar = tqdm(
            desc=self._description, total=event.n_tiles, initial=event.n_done, unit="tile", file=sys.stderr, leave=True
        )

    def _annotate(self, *, refresh: bool = True) -> None:
        rate = self._voxels / max(time.monotonic() - self._start, 1e-9)
        text = f"{rate / 1e6:.1f} Mvoxel/s"
        if self._retried:
            text += f", {self._retried} retried"
        if self._failed:
            text += f", {self._failed} failed"
        self._bar.set_postfix_str(text, refresh=refresh)


class LogProgress:
    """Lines in the log: when a run begins, every minute, and when it ends.

    If no log is set up, the lines of the first minute are dropped and the others go to stderr: a long run
    shows that it goes on, and a short one leaves stderr to its caller.
    """

    def __init__(self, description: str = "tiles", seconds: float = _LINE_SECONDS) -> None:
        self._description, self._seconds = description, seconds
        self._total = self._done = self._failed = 0
        self._start = self._next = 0.0

    def __call__(self, event: Event) -> None:
        """Write a line if an event needs one, or a minute has passed."""
        if isinstance(event, RunStarted):
            self._total, self._done = event.n_tiles, event.n_done
            self._start, self._next = event.time, event.time + self._seconds
            self._write(event, f"{event.n_tiles - event.n_done} to do, {event.workers} workers")
        elif isinstance(event, RunEnded):
            cancelled = ", cancelled" if event.cancelled else ""
            self._write(
                event, f"{event.n_done} done, {event.n_failed} failed, {event.seconds:.1f} s{cancelled}{_told(event)}"
            )
        else:
            self._done += isinstance(event, TileDone)
            self._failed += isinstance(event, TileFailed)
            if event.time >= self._next:
                self._next = event.time + self._seconds
                self._write(event, f"{self._done} of {self._total} done, {self._failed} failed")

    def _write(self, event: Event, text: str) -> None:
        if _log.hasHandlers():
            _log.info("%s: %s", self._description, text)
        elif event.time >= self._start + self._seconds:
            print(f"{self._description}: {text}", file=sys.stderr, flush=True)  # noqa: T201


def _told(event: RunEnded) -> str:
    """What was read, decoded and written, and where the time went."""
    if not event.shares:
        return ""
    parts = [f"{format_bytes(event.bytes_read)} read, {format_bytes(event.bytes_written)} written"]
    if event.chunks:
        parts.append(f"{event.chunks} chunks decoded {event.decodes:.2f} times each")
    parts.append(", ".join(f"{name} {100 * share:.0f} %" for name, share in event.shares.items()))
    return "; " + "; ".join(parts)


def _in_notebook() -> bool:
    shell = sys.modules.get("IPython")
    return shell is not None and type(shell.get_ipython()).__name__ == "ZMQInteractiveShell"
