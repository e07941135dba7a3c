"""Tests of death at steps of a worker or of the calling process: the result is equal, or an error is raised."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

from tests.faults.harness import Session, alive, wait_until
from tilecore import SharedArray, Tile, collect_tiles, create_sink, map_tiles
from tilecore.geometry import sharing as sharing_module
from tilecore.testing.leaks import descendants, start_what_stays

VOLUME = np.arange(4.0 * 6).reshape(4, 6)
N_TILES = 6  # each of two workers has a first tile, one in the middle, and a last one
PACKAGE = str(Path(__file__).parents[2] / "tilecore")


class Chunked:
    """Source that is stored in chunks, which tiles share."""

    shape, dtype, chunks = VOLUME.shape, VOLUME.dtype, (2, 3)

    def __getitem__(self, slices: tuple[slice, ...]) -> np.ndarray:
        return VOLUME[slices]


class AtStep:
    """Sends a signal to this process, not to its children, at the nth call of a function of the package.

    They are counted from the first call of the function `since` on, if one is named.
    """

    def __init__(self, step: int, number: int = signal.SIGKILL, since: str = "") -> None:
        self.left, self.number, self.since, self.pid = step, number, since, 0

    def install(self) -> None:
        self.pid = os.getpid()
        sys.settrace(self)

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        # Python forgets what is raised while it drops a generator expression.
        if frame.f_code.co_name != "<genexpr>" and event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
            if self.since not in ("", frame.f_code.co_name):
                return
            self.since = ""
            self.left -= 1
            if self.left == 0 and self.pid == os.getpid():
                self.strike()

    def strike(self) -> None:
        os.kill(os.getpid(), self.number)


class OnceAtStep(AtStep):
    """Sends the signal in one of several processes only, and records in which."""

    def __init__(self, step: int, once: SharedArray, number: int = signal.SIGKILL) -> None:
        super().__init__(step, number)
        self.once = once

    def install(self) -> None:
        if self.once[0] == 0:
            super().install()

    def strike(self) -> None:
        if self.once[0] == 0:
            self.once[0] = os.getpid()
            super().strike()


class InWorker:
    """Tile function that starts to count when it is unpacked, before the worker is ready."""

    def __init__(self, death: OnceAtStep, log: SharedArray) -> None:
        self.death, self.log = death, log

    def __reduce__(self) -> Any:
        return _unpacked, (self.death, self.log)

    def __call__(self, block: np.ndarray, tile: Tile) -> np.ndarray:
        self.log[tile.number] += 1
        return 2 * block + np.zeros(1)


def _unpacked(death: OnceAtStep, log: SharedArray) -> InWorker:
    death.install()
    return InWorker(death, log)


def sweep(steps: range, run: Callable[[int], bool]) -> None:
    """Try each step until one is never reached; then all have been tried.

    A small process does so: one that has run many tests takes several times as long for a fork.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        process.submit(_sweep, steps, run).result()


def _sweep(steps: range, run: Callable[[int], bool]) -> None:
    start_what_stays()
    for step in steps:
        if not run(step):
            return
    raise AssertionError(f"there are more than {steps.stop} steps")


def die_in_worker(step: int, method: str, collect: bool, source: Any = VOLUME) -> bool:
    once, log = SharedArray((1,), "i8"), SharedArray((N_TILES,), "i8")
    function = InWorker(OnceAtStep(step, once), log)
    options: dict[str, Any] = {
        "tile_shape": (2, 2),
        "halo": 1,
        "pass_tile": True,
        "workers": 2,
        "start_method": method,
        "progress": False,
    }
    if collect:
        results = collect_tiles(function, source, **options)
        assert [result.shape for result in results] == 2 * [(3, 3), (3, 4), (3, 3)]
    else:
        out = SharedArray(VOLUME.shape, VOLUME.dtype)
        map_tiles(function, source, out=out, **options)
        np.testing.assert_array_equal(out, 2 * VOLUME)
    assert (log.view() >= 1).all()
    assert log.view().sum() <= 2 * N_TILES  # what was not reported is done again, and no more
    return bool(once[0])


@pytest.mark.parametrize("collect", [False, True])
def test_death_at_some_steps_of_a_worker(collect: bool) -> None:
    sweep(range(1, 2000, 37), partial(die_in_worker, method="forkserver", collect=collect))


@pytest.mark.slow
@pytest.mark.parametrize("collect", [False, True])
@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_death_at_many_steps_of_a_worker(method: str, collect: bool) -> None:
    stride = 3 if method == "forkserver" else 23
    sweep(range(1, 5000, stride), partial(die_in_worker, method=method, collect=collect))


def sharing(run: Callable[..., bool], step: int, **options: Any) -> bool:
    """Try a step with a source whose chunks tiles share, each alone though it is small."""
    sharing_module._UNIT_BYTES = 1
    return run(step, source=Chunked(), **options)


def test_death_at_some_steps_of_a_worker_that_decodes_for_others() -> None:
    sweep(range(1, 2000, 73), partial(sharing, die_in_worker, method="forkserver", collect=False))


@pytest.mark.slow
def test_death_at_many_steps_of_a_worker_that_decodes_for_others() -> None:
    sweep(range(1, 5000, 11), partial(sharing, die_in_worker, method="forkserver", collect=False))


class Doubling:
    """Tile function that records the processes in which it was called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, block: np.ndarray, tile: Tile) -> np.ndarray:
        (self.folder / f"pid-{os.getpid()}").touch()
        (self.folder / f"call-{tile.number}").open("a").write("x")
        return 2 * block


TILES: dict[str, Any] = {
    "tile_shape": (2, 2),
    "pass_tile": True,
    "workers": 2,
    "start_method": "fork",
    "progress": False,
    "dtype": "f8",
}


def die_in_parent(step: int, parent: Path) -> bool:
    """Kill the calling process at a step, then continue; the file is complete, and few tiles ran twice."""
    (folder := parent / str(step)).mkdir()
    once = SharedArray((1,), "i8")
    options = {**TILES, "out": folder / "out.npy", "resume": True}

    def run() -> None:
        OnceAtStep(step, once).install()
        map_tiles(Doubling(folder), VOLUME, **options)

    code, output = Session(run).wait()
    died = bool(once[0])
    assert code == (-signal.SIGKILL if died else 0), output
    wait_until(lambda: not alive(int(path.name[4:]) for path in folder.glob("pid-*")))
    if not (folder / "out.npy").exists():
        map_tiles(Doubling(folder), VOLUME, **options)
    np.testing.assert_array_equal(np.load(folder / "out.npy"), 2 * VOLUME)
    calls = [len((folder / f"call-{tile}").read_text()) for tile in range(N_TILES)]
    assert min(calls) >= 1
    create_sink(folder / "out.npy", (1,), "u1", overwrite=True).discard()  # removes what a killed run has left
    assert sorted(path.name for path in folder.glob("out*")) in (["out.npy"], ["out.npy", "out.npy.journal"])
    return died


def test_death_at_some_steps_of_the_calling_process(tmp_path: Path) -> None:
    sweep(range(5, 5000, 97), partial(die_in_parent, parent=tmp_path))


@pytest.mark.slow
def test_death_at_many_steps_of_the_calling_process(tmp_path: Path) -> None:
    sweep(range(1, 9000, 11), partial(die_in_parent, parent=tmp_path))


def interrupt(step: int, parent: Path, source: Any = VOLUME) -> bool:
    """Send Ctrl-C at a step of the calling process: it reports this once, and leaves nothing."""
    (folder := parent / str(step)).mkdir()
    once = SharedArray((1,), "i8")

    def interrupted_run() -> None:
        assert once[0] == 0  # mapped now
        gc.collect()
        opened = os.listdir("/proc/self/fd")
        swallowed: list[str] = []
        sys.unraisablehook = lambda what: swallowed.append(f"{what.exc_type.__name__} in {what.object!r}")
        OnceAtStep(step, once, signal.SIGINT).install()
        try:
            map_tiles(Doubling(folder), source, out=folder / "out.npy", **TILES)
        except KeyboardInterrupt:
            traceback.print_exc()
        sys.settrace(None)
        assert not swallowed
        gc.collect()
        wait_until(lambda: not alive(descendants(os.getpid())))
        assert len(os.listdir("/proc/self/fd")) == len(opened)

    code, output = Session(interrupted_run).wait()
    assert code == 0, output
    interrupted = bool(once[0])
    assert output.count("Traceback") == output.count("\nKeyboardInterrupt") == int(interrupted), output
    return interrupted


def test_ctrl_c_at_some_steps(tmp_path: Path) -> None:
    sweep(range(1, 5000, 97), partial(interrupt, parent=tmp_path))


@pytest.mark.slow
def test_ctrl_c_at_many_steps(tmp_path: Path) -> None:
    sweep(range(1, 9000, 5), partial(interrupt, parent=tmp_path))


def test_ctrl_c_at_some_steps_while_tiles_share_chunks(tmp_path: Path) -> None:
    sweep(range(1, 9000, 197), partial(sharing, interrupt, parent=tmp_path))


@pytest.mark.slow
def test_ctrl_c_at_many_steps_while_tiles_share_chunks(tmp_path: Path) -> None:
    sweep(range(1, 15000, 23), partial(sharing, interrupt, parent=tmp_path))
