"""Recordings of many channels in batches, against loops in one process and a plain copy."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.signal import butter, sosfiltfilt

from benchmarks.bench_memory import resident_bytes
from benchmarks.measuring import Benchmark, Peak
from tilecore import Recording, map_batches, open_recording
from tilecore.compat.yass import BatchProcessor, RecordingsReader

WORKERS = 2
BUDGETS = ("100MB", "200MB", "500MB")
N_CHANNELS = 385
RATE = 30_000  # observations a second
BUFFER = 3000  # as long as the filter's memory, to 1e-6 of the range
SECTIONS = butter(3, [300, 6000], "bandpass", fs=RATE, output="sos")


def same(data: np.ndarray) -> np.ndarray:
    return data


def band_pass(data: np.ndarray) -> np.ndarray:
    return sosfiltfilt(SECTIONS, data, axis=0).astype(np.float32)


class Recordings(Benchmark):
    """A recording in the order "samples", of 16-bit numbers."""

    repeats = 3
    max_memory = "32MB"
    n_mebibytes = 1024

    def setup(self) -> None:
        n_bytes = 2**23 if self.quick else self.n_mebibytes * 2**20
        self.shape = (n_bytes // (2 * N_CHANNELS), N_CHANNELS)
        self.folder = Path(tempfile.mkdtemp())
        self.raw, self.out, self.loop = (self.folder / name for name in ("raw.bin", "out.bin", "loop.bin"))
        numbers = np.random.default_rng(0).integers(-500, 500, (4096, N_CHANNELS), dtype=np.int16)
        with self.raw.open("wb") as file:
            for first in range(0, self.shape[0], len(numbers)):
                file.write(np.roll(numbers, first, axis=1)[: self.shape[0] - first].tobytes())

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def prepare(self, name: str) -> None:
        """Wait until the disk has nothing left to write, and read the recording into the cache."""
        os.sync()
        self.raw.read_bytes()

    def processor(self, buffer: int = 0) -> BatchProcessor:
        options = {"buffer_size": buffer, "show_progress_bar": False}
        return BatchProcessor(self.raw, "int16", N_CHANNELS, "samples", self.max_memory, **options)


class RecordingsFilter(Recordings):
    name = "recordings-filter"
    goal = "band-pass of 385 channels, with a buffer, by 2 processes: at least 1.7x as fast as the same loop in one"

    def contenders(self) -> dict[str, Callable[[], Any]]:
        return {"multi_channel_apply, 2 processes": self.by_tilecore, "loop in one process": self.by_loop}

    def by_tilecore(self) -> None:
        processor = self.processor(BUFFER)
        processor.multi_channel_apply(band_pass, "disk", output_path=self.out, processes=WORKERS)

    def by_loop(self) -> None:
        raw = np.memmap(self.raw, np.int16, "r", shape=self.shape)
        with self.loop.open("wb") as file:
            for rows, _ in self.processor(BUFFER).multi_channel(return_data=False):
                low = max(rows.start - BUFFER, 0)
                filtered = band_pass(raw[low : rows.stop + BUFFER])
                filtered[rows.start - low : rows.stop - low].tofile(file)

    def remarks(self) -> list[str]:
        found, raw = RecordingsReader(self.out), np.memmap(self.raw, np.int16, "r", shape=self.shape)
        channels = range(0, N_CHANNELS, 55)
        # At its ends the recording goes on by zeros here, and is mirrored there.
        inner, worst = slice(BUFFER, -BUFFER), 0.0
        for channel in channels:
            whole = band_pass(raw[:, [channel]])[:, 0]
            difference = np.abs(found[inner, channel] - whole[inner])
            worst = max(worst, float(difference.max() / np.ptp(whole)))
        return [f"from filtering the whole recording it differs by at most {worst:.1e} of the range (goal: 1e-6)"]


class RecordingsChannels(Recordings):
    name = "recordings-channels"
    goal = "np.max of each channel in order of samples: at least 5x as fast as memmap[:, channel] one by one"
    max_memory = "1GB"  # the default

    def contenders(self) -> dict[str, Callable[[], Any]]:
        return {"single_channel_apply, 2 processes": self.by_tilecore, "memmap, channel by channel": self.by_memmap}

    def by_tilecore(self) -> list[Any]:
        return list(self.processor().single_channel_apply(np.max, "memory", processes=WORKERS))

    def by_memmap(self) -> list[Any]:
        raw = np.memmap(self.raw, np.int16, "r", shape=self.shape)
        return [np.max(raw[:, channel]) for channel in range(N_CHANNELS)]

    def remarks(self) -> list[str]:
        return [f"both find the same: {self.by_tilecore() == self.by_memmap()}"]


class RecordingsCopy(Recordings):
    name = "recordings-copy"
    goal = "the same numbers to disk by 2 processes: at least 0.5x as fast as cp, on a warm cache"
    repeats = 5

    def contenders(self) -> dict[str, Callable[[], Any]]:
        return {"multi_channel_apply, 2 processes": self.by_tilecore, "cp": self.by_cp}

    def prepare(self, name: str) -> None:
        """As all, and no output is there to be removed."""
        for path in (self.out, self.loop):
            path.unlink(missing_ok=True)
        super().prepare(name)

    def by_tilecore(self) -> None:
        self.processor().multi_channel_apply(same, "disk", output_path=self.out, processes=WORKERS)

    def by_cp(self) -> None:
        subprocess.run(["cp", "--reflink=never", self.raw, self.loop], check=True)

    def remarks(self) -> list[str]:
        self.by_tilecore()
        return [f"the copy is the same: {self.out.read_bytes() == self.raw.read_bytes()}"]


class RecordingsPlan(Recordings):
    name = "recordings-plan"
    goal = "tilecore's own plan for the band-pass: at most 1.05x the time of batches of one second, chosen by hand"
    repeats = 6

    def contenders(self) -> dict[str, Callable[[], Any]]:
        return {"map_batches, own plan": self.by_plan, "map_batches, one second": partial(self.by_plan, "1 s")}

    def by_plan(self, batch_length: str | None = None) -> None:
        options: dict[str, Any] = {"batch_length": batch_length, "out": self.out, "overwrite": True}
        map_batches(band_pass, self.recording(), buffer=BUFFER, workers=WORKERS, progress=False, **options)

    def recording(self) -> Recording:
        return open_recording(self.raw, "int16", N_CHANNELS, "samples", rate=RATE)


class RecordingsMemory(RecordingsPlan):
    name = "recordings-memory"
    goal = "the band-pass on max_memory=100MB: peak of all processes within it and the interpreters' own"
    repeats = 1
    warm_up = False

    def contenders(self) -> dict[str, Callable[[], Any]]:
        return {f"map_batches, {budget}": partial(self.watched, budget) for budget in BUDGETS}

    def watched(self, budget: str) -> None:
        options: dict[str, Any] = {"buffer": BUFFER, "workers": WORKERS, "max_memory": budget, "progress": False}
        with Peak(resident_bytes, 0.01) as idle:
            map_batches(band_pass, self.recording(), channels=[0, 1], to_time=3 * BUFFER, **options)
        with Peak(resident_bytes, 0.01) as busy:
            map_batches(band_pass, self.recording(), out=self.out, overwrite=True, **options)
        self.used[budget] = (busy.highest - idle.highest, idle.highest)

    def setup(self) -> None:
        super().setup()
        self.used: dict[str, tuple[int, int]] = {}

    def remarks(self) -> list[str]:
        return [
            f"{budget}: peak {used / 1e6:.0f} MB beyond the {own / 1e6:.0f} MB of idle interpreters"
            for budget, (used, own) in self.used.items()
        ]
