"""Progress of a run: a bar, a log line now and then, or silence."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

from tilecore.engine.events import Event, Observer, RunEnded, RunStarted, TileDone, TileFailed, TileRetried

__all__ = ["LogProgress", "ProgressBar", "choose_progress", "verbose_print"]

_log = logging.getLogger("tilecore.progress")

_LOG_SECONDS = 30.0


def choose_progress(progress: bool | None, description: str = "tiles") -> Observer | None:
    """The observer that shows progress where this process's messages go.

    Parameters
    ----------
    progress : bool, optional
        True: a bar. False: silence. Default: a bar where stderr is a terminal or in a
        notebook, otherwise a line in the log (logger ``tilecore.progress``, level INFO).
    description : str
        What the bar counts.
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
        """Show an event."""
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
        elif self._bar is not None:
            self._annotate()
            self._bar.close()

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
    """A line in the log when a run begins, every half minute, and when it ends."""

    def __init__(self, description: str = "tiles", seconds: float = _LOG_SECONDS) -> None:
        self._description, self._seconds = description, seconds
        self._total = self._done = self._failed = 0
        self._next = 0.0

    def __call__(self, event: Event) -> None:
        """Log an event, if it is time."""
        if isinstance(event, RunStarted):
            self._total, self._done = event.n_tiles, event.n_done
            self._next = time.monotonic() + self._seconds
            _log.info("%s: %d to do, %d workers", self._description, event.n_tiles - event.n_done, event.workers)
        elif isinstance(event, RunEnded):
            _log.info("%s: %d done, %d failed, %.1f s", self._description, event.n_done, event.n_failed, event.seconds)
        elif isinstance(event, TileDone):
            self._done += 1
            if time.monotonic() >= self._next:
                self._next = time.monotonic() + self._seconds
                _log.info("%s: %d of %d done, %d failed", self._description, self._done, self._total, self._failed)
        elif isinstance(event, TileFailed):
            self._failed += 1


def verbose_print(args: Any, msg: str) -> None:
    """Print a message if ``args.verbose`` says so.

    References
    ----------
    .. [1] Name and meaning from ``scout.utils``.
    """
    if args.verbose:
        print(msg)  # noqa: T201


def _in_notebook() -> bool:
    shell = sys.modules.get("IPython")
    return shell is not None and type(shell.get_ipython()).__name__ == "ZMQInteractiveShell"
