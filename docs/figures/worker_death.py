"""A real run, in which a worker is killed: who worked on which tile, and when."""

import logging
import os
import signal
import tempfile
from pathlib import Path

import numpy as np
from drawing import DARK, LIGHT, LOOK, panels

from tilecore import collect_tiles
from tilecore.engine.events import RunStarted, TileDone, TileRetried

UNLUCKY = 5


def work(block, tile, marker):
    """Keep a core busy for a moment; in one tile, at the first try, die as the kernel would make it."""
    total = sum(float(np.sqrt(block).sum()) for _ in range(150))
    if tile.number == UNLUCKY and not Path(marker).exists():
        Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return total


if __name__ == "__main__":
    logging.getLogger("tilecore").setLevel(logging.ERROR)  # the death is meant
    events = []
    volume = np.ones((12, 128, 256))
    with tempfile.TemporaryDirectory() as folder:
        collect_tiles(
            work,
            volume,
            tile_shape=(1, 128, 256),
            kwargs={"marker": f"{folder}/died"},
            pass_tile=True,
            workers=2,
            callbacks=[events.append],
            progress=False,
        )

    begin = next(event.time for event in events if isinstance(event, RunStarted))
    figure, axes = panels(7.6, 2.6)
    free_since = {0: 0.0, 1: 0.0}  # when a worker had nothing to do any more
    for event in events:
        if not isinstance(event, TileDone | TileRetried):
            continue
        died, again = isinstance(event, TileRetried), isinstance(event, TileDone) and event.tile.number == UNLUCKY
        colour = LOOK if died else DARK if again else LIGHT
        stop = event.time - begin
        start = free_since[event.worker] if died else stop - event.seconds
        free_since[event.worker] = stop
        axes.barh(event.worker, stop - start, left=start, height=0.62, color=colour, edgecolor="white")
        text = f"{event.tile.number}\ndied" if died else f"{event.tile.number}\nagain" if again else event.tile.number
        axes.text((start + stop) / 2, event.worker, text, ha="center", va="center", color="white" if again else "black")
    axes.set(xlim=(0, None), yticks=(0, 1), yticklabels=("worker 0", "worker 1"), xlabel="time since the run began [s]")
    axes.invert_yaxis()
