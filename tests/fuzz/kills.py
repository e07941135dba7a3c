"""Fuzzer of dying workers: the result is right, or an error names the failed tiles; nothing is left."""

from __future__ import annotations

import contextlib
import os
import random as randomness
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from tests.faults.harness import Once
from tests.fuzz.collecting import assert_alike
from tests.fuzz.voxels import assert_same, voxels
from tilecore import SharedArray, Tile, TileError, TileGrid, WorkerError, collect_tiles, map_tiles
from tilecore.testing.leaks import descendants, nothing_left
from tilecore.testing.patience import FOR_EVER

DEEDS = {
    "exit": lambda: os._exit(3),
    "abort": lambda: os.kill(os.getpid(), signal.SIGABRT),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "raise": lambda: 1 / 0,
    "memory": lambda: np.empty(2**60, np.uint8),
    "hang": lambda: time.sleep(FOR_EVER),
    "stop": lambda: os.kill(os.getpid(), signal.SIGSTOP),
}
#: What looks as if there were too little memory: the tile is cut into parts, which are tried as often as a tile.
MEMORY = ("kill", "memory")
#: What only a timeout ends.
HANGING = ("hang", "stop")


@dataclass(frozen=True)
class Case:
    """Random run, with harmful actions of its function, and times at which workers are killed."""

    verb: str
    shape: tuple[int, ...]
    tile_shape: tuple[int, ...]
    halo: int
    source: str
    out: str
    deed: str
    tiles: tuple[int, ...]
    times: int
    kill_after_s: tuple[float, ...]
    retries: int
    on_error: str
    workers: int
    start_method: str
    detail: int


def draw(random: randomness.Random) -> Case:
    """Draw a random case."""
    shape = tuple([random.randint(3, 12) for _ in range(random.choice([2, 3]))])
    tile_shape = tuple([max(1, -(-n // random.randint(2, 3))) for n in shape])
    n_tiles = TileGrid(shape, tile_shape).size
    deed = random.choices(list(DEEDS), [3, 1, 3, 2, 1, 1, 1])[0]
    own, others = random.choice([(True, False), (True, False), (False, True), (True, True)])
    others = others and deed not in HANGING
    return Case(
        verb=random.choice(["map", "map", "collect"]),
        shape=shape,
        tile_shape=tile_shape,
        halo=random.randint(0, 2),
        source=random.choice(["array", "shared", "npy"]),
        out=random.choice(["none", "shared", "npy", "zarr"]),
        deed=deed if own else "none",
        tiles=tuple(sorted(random.sample(range(n_tiles), min(n_tiles, random.randint(1, 2))))),
        times=random.randint(1, 3),
        kill_after_s=tuple([round(random.uniform(0, 0.25), 4) for _ in range(random.randint(1, 4) if others else 0)]),
        retries=random.randint(0, 2),
        on_error=random.choice(["raise", "finish"]),
        workers=random.randint(1, 3),
        start_method=random.choices(["forkserver", "fork", "spawn"], [6, 4, 1])[0],
        detail=random.getrandbits(32),
    )


class Deadly:
    """Function that does something harmful at some tiles, a given number of times, and returns the block plus one."""

    def __init__(self, folder: Path, case: Case) -> None:
        times = 0 if case.deed == "none" else case.times
        self.once = Once(folder, DEEDS.get(case.deed, DEEDS["exit"]), case.tiles, times)

    def __call__(self, block: np.ndarray, tile: Tile) -> np.ndarray:
        time.sleep(0.01)
        return self.once(block, tile)


def check(case: Case) -> None:
    """Run a case with kills, and compare."""
    with nothing_left(), tempfile.TemporaryDirectory() as folder:
        _run(case, Path(folder))


def _run(case: Case, folder: Path) -> None:
    values = voxels(case.detail, case.shape, "<f8")
    (folder / "deeds").mkdir()
    function = Deadly(folder / "deeds", case)
    expected, must_fail = values + 1, case.deed not in ("none", *MEMORY) and case.times > case.retries
    given = _source(case, values, folder)
    chosen: dict[str, Any] = {
        "tile_shape": case.tile_shape,
        "halo": case.halo,
        "pass_tile": True,
        "retries": case.retries,
        "on_error": case.on_error,
        "workers": case.workers,
        "start_method": case.start_method,
        "timeout": 2 if case.deed in HANGING else None,
        "progress": False,
    }
    try:
        with _killed(case):
            if case.verb == "collect":
                found = collect_tiles(function, given, **chosen)
            else:
                result = map_tiles(function, given, out=_out(case, folder), **chosen)
    except (TileError, WorkerError) as error:
        may_fail = case.deed != "none" and case.times > case.retries
        assert may_fail or case.kill_after_s, f"failed, though it is tried again: {type(error).__name__}: {error}"
        failed = {failure.tile.number for failure in getattr(error, "failures", ())}
        if not case.kill_after_s and isinstance(error, TileError):
            assert failed <= set(case.tiles), f"tiles {failed} failed"
            assert case.on_error == "raise" or not must_fail or failed == set(case.tiles), f"only tiles {failed} failed"
        left = [path.name for path in folder.glob("out*") if case.out == "npy"]
        assert "out.npy" not in left, "an output of a run that failed has its name"
        return
    assert not must_fail, "no tile failed"
    if case.verb == "collect":
        grid = TileGrid(case.shape, case.tile_shape, case.halo)
        assert_alike(found, [expected[tile.read.slices] for tile in grid])
        return
    assert_same(result[(slice(None),) * values.ndim], expected, "the result")


def _source(case: Case, values: np.ndarray, folder: Path) -> Any:
    if case.source == "npy":
        np.save(folder / "source.npy", values)
        return folder / "source.npy"
    return SharedArray.from_array(values) if case.source == "shared" else values


def _out(case: Case, folder: Path) -> Any:
    if case.out == "npy":
        return folder / "out.npy"
    if case.out == "zarr":
        return zarr.create_array(folder / "out.zarr", shape=case.shape, chunks=case.tile_shape, dtype="<f8")
    return SharedArray(case.shape, "<f8") if case.out == "shared" else None


@contextlib.contextmanager
def _killed(case: Case) -> Iterator[None]:
    """Kill workers at the times of the case, also while they start."""
    over = threading.Event()
    killer = threading.Thread(target=_kill, args=(case, set(descendants(os.getpid())), over))
    killer.start()
    try:
        yield
    finally:
        over.set()
        killer.join()


def _kill(case: Case, others: set[int], over: threading.Event) -> None:
    random = randomness.Random(case.detail)
    for seconds in case.kill_after_s:
        if over.wait(seconds):
            return
        workers = sorted(set(descendants(os.getpid())) - others)
        if workers:
            with contextlib.suppress(ProcessLookupError):  # it has ended by itself
                os.kill(random.choice(workers), signal.SIGKILL)
