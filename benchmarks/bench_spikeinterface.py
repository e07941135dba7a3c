"""Recordings against spikeinterface, which runs in an environment of its own: it needs zarr before 3.

Two commands make the environment::

    python3 -m venv .venv-spikeinterface
    .venv-spikeinterface/bin/pip install "spikeinterface==0.105.*" scipy

The variable ``SPIKEINTERFACE_PYTHON`` names its interpreter::

    SPIKEINTERFACE_PYTHON=.venv-spikeinterface/bin/python python -m benchmarks recordings-copy-si recordings-filter-si

Without it these benchmarks are left out. tilecore's own contenders run without it with ``--against``.

spikeinterface imports everything before its first turn (`benchmarks.rival_spikeinterface`): what counts is the job,
with the start and end of its workers. Its process is a child of this one, so its CPU seconds are counted as all others
are; what it tells of them itself is a check.
"""

from __future__ import annotations

import filecmp
import json
import os
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bench_recordings import BUFFER, N_CHANNELS, RATE, WORKERS, Recordings, band_pass, same

VARIABLE = "SPIKEINTERFACE_PYTHON"
ENVIRONMENT = ".venv-spikeinterface"
SCRIPT = Path(__file__).with_name("rival_spikeinterface.py")
MARGIN_MS = 5
MARGIN = MARGIN_MS * RATE // 1000  # observations
BAND = {"freq_min": 300, "freq_max": 6000, "filter_order": 3, "margin_ms": MARGIN_MS, "dtype": "float32"}
JOBS: dict[str, dict[str, Any]] = {
    "spikeinterface, n_jobs=1": {"n_jobs": 1},
    "spikeinterface, 2 processes": {"n_jobs": WORKERS, "pool_engine": "process", "mp_context": "fork"},
    "spikeinterface, 2 threads": {"n_jobs": WORKERS, "pool_engine": "thread"},
}
# It collects garbage after each batch, which takes longer than to copy one: so its best copy is of one long batch.
ONE_BATCH: dict[str, dict[str, Any]] = {"spikeinterface, one batch": {"n_jobs": 1, "chunk_duration": 1e6}}


class Rival:
    """spikeinterface in a process of its own, which has imported everything and waits for jobs."""

    def __init__(self, python: str) -> None:
        # PYTHONPATH is of this interpreter, and may name what is not for the other one.
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._python = python
        self._process = subprocess.Popen([python, "-W", "ignore", SCRIPT], env=environment, **pipes)
        self.versions = self._answer()

    def do(self, **job: Any) -> dict[str, Any]:
        """Have a job done, and return the time and the CPU seconds that it took by the rival's own clocks."""
        print(json.dumps(job), file=self._process.stdin, flush=True)
        return self._answer()

    def close(self) -> None:
        self._process.communicate()  # it ends when its input does

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        if not line:
            self.close()
            raise RuntimeError(f"{self._python} {SCRIPT.name} ended with {self._process.returncode}, without an answer")
        return json.loads(line)


class AgainstSpikeinterface(Recordings):
    """Work on a recording in batches of one second, by tilecore and by spikeinterface in several ways."""

    band: dict[str, Any] | None = None
    jobs = JOBS
    rival: Rival | None = None

    def left_out(self) -> str:
        if os.environ.get(VARIABLE):
            return ""
        commands = f'python3 -m venv {ENVIRONMENT} && {ENVIRONMENT}/bin/pip install "spikeinterface==0.105.*" scipy'
        return f"{VARIABLE} is not set; make the environment: {commands}; set it to {ENVIRONMENT}/bin/python"

    def setup(self) -> None:
        super().setup()
        self.seconds = 0.1 if self.quick else 1.0
        margin = 0 if self.band is None else MARGIN
        self.max_memory = (int(self.seconds * RATE) + 2 * margin) * N_CHANNELS * 2
        self.told: dict[str, dict[str, Any]] = {}

    def teardown(self) -> None:
        if self.rival is not None:
            self.rival.close()
        super().teardown()

    def contenders(self) -> dict[str, Callable[[], Any]]:
        return self.by_tilecore() | {name: partial(self.by_rival, name) for name in self.jobs}

    def by_tilecore(self) -> dict[str, Callable[[], Any]]:
        names = {f"multi_channel_apply, {n} process{'es' * (n > 1)}": n for n in (WORKERS, 1)}
        return {name: partial(self.apply, self.output(name), n) for name, n in names.items()}

    def apply(self, path: Path, processes: int) -> None:
        function, margin = (same, 0) if self.band is None else (band_pass, MARGIN)
        self.processor(margin).multi_channel_apply(function, "disk", output_path=path, processes=processes)

    def prepare(self, name: str) -> None:
        """As all; no output of its own is there, and a rival has imported everything."""
        if name in self.jobs and self.rival is None:
            self.rival = Rival(os.environ[VARIABLE])
        self.output(name).unlink(missing_ok=True)
        super().prepare(name)

    def output(self, name: str) -> Path:
        return self.folder / f"{name}.bin"

    def by_rival(self, name: str) -> None:
        assert self.rival is not None
        recording = {"sampling_frequency": RATE, "num_channels": N_CHANNELS, "dtype": "int16"}
        paths = {"source": str(self.raw), "target": str(self.output(name))}
        job = {"chunk_duration": self.seconds, **self.jobs[name]}
        self.told[name] = self.rival.do(**paths, recording=recording, band=self.band, job=job)

    def remarks(self) -> list[str]:
        assert self.rival is not None
        versions = ", ".join(f"{name} {version}" for name, version in self.rival.versions.items())
        clocks = ", ".join(f"{told['wall_s']:.4f} and {told['cpu_s']:.4f}" for told in self.told.values())
        return [versions, f"by its own clocks its last turns took, in this order, s and cpu s: {clocks}"]


class RecordingsCopySi(AgainstSpikeinterface):
    name = "recordings-copy-si"
    goal = "the same numbers to disk by 2 processes: at least 5x as fast as spikeinterface, also in CPU seconds"
    repeats = 5
    jobs = JOBS | ONE_BATCH

    def remarks(self) -> list[str]:
        copies = [filecmp.cmp(self.raw, self.output(name), shallow=False) for name in self.contenders()]
        return [f"all copies are the same: {all(copies)}", *super().remarks()]


class RecordingsFilterSi(AgainstSpikeinterface):
    name = "recordings-filter-si"
    goal = (
        "band-pass with a margin of 5 ms: 2 processes faster than the best of spikeinterface, and than 1 process "
        "where that takes over 2 s"
    )
    band = BAND

    def remarks(self) -> list[str]:
        first, *others = [self.output(name) for name in self.contenders()]
        worst = max(self.difference(first, other) for other in others)
        what = "the results, without 0.1 s at both ends, differ"
        return [f"{what} by at most {worst:.1e} of the range (goal: 1e-4)", *super().remarks()]

    def difference(self, *paths: Path) -> float:
        """Largest difference of two results by their range, away from the ends: there tilecore adds zeros."""
        one, other = (np.memmap(path, np.float32, "r", shape=self.shape) for path in paths)
        lowest = highest = worst = 0.0
        for first in range(BUFFER, self.shape[0] - BUFFER, RATE):
            rows = slice(first, min(first + RATE, self.shape[0] - BUFFER))
            lowest, highest = min(lowest, one[rows].min()), max(highest, one[rows].max())
            worst = max(worst, np.abs(one[rows] - other[rows]).max())
        return float(worst / (highest - lowest))
