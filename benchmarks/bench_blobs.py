"""Blob detection compared with scikit-image and dask: time, memory, and the fraction of the true blobs found."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import psutil
from scipy.sparse import coo_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching
from scipy.spatial import cKDTree
from skimage.feature import blob_dog, blob_log
from skimage.feature.blob import _prune_blobs

from benchmarks.measuring import Benchmark
from tilecore import Blobs, Box, detect_blobs, halo_for, prune_blobs
from tilecore.samples.synthetic import SyntheticNuclei

_WORKERS = 2
_THRESHOLD = 0.001


class _OnNuclei:
    """Base class of the benchmarks on synthetic nuclei."""

    quick: bool
    scales: ClassVar[dict[str, Any]] = {"min_sigma": 2, "max_sigma": 5, "num_sigma": 4}
    detector: ClassVar[str] = "log"

    def setup(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.path = Path(self._folder.name) / "nuclei.npy"
        nuclei = _nuclei(14, (48, 96, 96) if self.quick else (128, 512, 512))
        np.save(self.path, nuclei.block(Box.of_shape(nuclei.shape)))
        self.volume = np.load(self.path)

    def teardown(self) -> None:
        self._folder.cleanup()

    def contenders(self) -> dict[str, Callable[[], Any]]:
        return {f"tilecore, {_WORKERS} workers": self.tilecore, "scikit-image": self.scikit_image}

    def tilecore(self, volume: npt.NDArray[Any] | None = None) -> Blobs:
        volume = self.volume if volume is None else volume
        return detect_blobs(
            volume, detector=self.detector, threshold=_THRESHOLD, workers=_WORKERS, progress=False, **self.scales
        )

    def scikit_image(self, volume: npt.NDArray[Any] | None = None) -> npt.NDArray[Any]:
        function = blob_log if self.detector == "log" else blob_dog
        rows = function(self.volume if volume is None else volume, threshold=_THRESHOLD, **self.scales)
        return np.asarray(rows)


class BlobsFour(_OnNuclei, Benchmark):
    """Detection with four scales, as for counting cells."""

    name = "blobs"
    needs = ("dask",)
    goal = "LoG at 4 scales, 2..5: 15x scikit-image, 8x dask's map_overlap; a quarter of the memory; as true"
    repeats = 3

    def contenders(self) -> dict[str, Callable[[], Any]]:
        return super().contenders() | {f"dask map_overlap, {_WORKERS} threads": self.dask}

    def dask(self) -> npt.NDArray[Any]:
        """Detect blobs with dask: each block with its halo by scikit-image; blobs are pruned as scikit-image does."""
        import dask
        import dask.array as da

        scales = self.scales
        halo = halo_for("log", **scales)
        blocks = da.from_array(self.volume, chunks=(128, 256, 256))
        starts = [np.cumsum([0, *each[:-1]]) for each in blocks.chunks]
        padded = da.overlap.overlap(blocks, depth=dict(enumerate(halo)), boundary="none").to_delayed()
        own = dask.delayed(_owned)
        tasks = [
            own(
                padded[index],
                [each[at] for each, at in zip(starts, index, strict=True)],
                halo,
                blocks.chunksize,
                self.scales,
            )
            for index in np.ndindex(padded.shape)
        ]
        tables = dask.compute(*tasks, scheduler="threads", num_workers=_WORKERS)
        return np.asarray(_prune_blobs(np.concatenate(tables), 0.5))

    def remarks(self) -> list[str]:
        return [self._memory(), *self._truths()]

    def _memory(self) -> str:
        arguments = ", ".join(f"{name}={value}" for name, value in self.scales.items()) + f", threshold={_THRESHOLD}"
        theirs = _peak(f"from skimage.feature import blob_log; blob_log(np.load({str(self.path)!r}), {arguments})")
        options = f"workers={_WORKERS}, progress=False, {arguments}"
        ours = _peak(f"from tilecore import detect_blobs; detect_blobs({str(self.path)!r}, {options})")
        return f"peak memory of all processes: tilecore {ours / 2**20:.0f} MiB, scikit-image {theirs / 2**20:.0f} MiB"

    def _truths(self) -> list[str]:
        lines = []
        for spacing in (13, 16, 22):
            nuclei = _nuclei(spacing, (48, 96, 96) if self.quick else (64, 256, 256))
            volume = nuclei.block(Box.of_shape(nuclei.shape))
            truth = Blobs(dict(zip("zyx", nuclei.nuclei().T, strict=False)))
            ours = self.tilecore(volume).match(truth, 4.0)
            theirs = Blobs.of(self.scikit_image(volume)).match(truth, 4.0)
            lines.append(
                f"{len(truth)} nuclei, {spacing} apart: F1 tilecore {ours.f1:.4f}, scikit-image {theirs.f1:.4f}"
            )
        return lines


class BlobsWide(_OnNuclei, Benchmark):
    """Detection with ten scales, of which the largest is wide."""

    name = "blobs-wide"
    goal = "LoG at 10 scales, 3..12: 15x scikit-image"
    repeats = 1
    scales: ClassVar[dict[str, Any]] = {"min_sigma": 3, "max_sigma": 12, "num_sigma": 10}


class BlobsDog(_OnNuclei, Benchmark):
    """Detection with differences of Gaussians."""

    name = "blobs-dog"
    goal = "DoG, sigma 2..5: 8x scikit-image"
    repeats = 3
    scales: ClassVar[dict[str, Any]] = {"min_sigma": 2, "max_sigma": 5}
    detector = "dog"


class BlobsOwn(_OnNuclei, Benchmark):
    """Detection with a detector that is plain scikit-image."""

    name = "blobs-own"
    goal = "scikit-image's blob_log as a detector of one's own, 2 workers: 1.8x itself"
    repeats = 1

    def tilecore(self, volume: npt.NDArray[Any] | None = None) -> Blobs:
        params = {**self.scales, "threshold": _THRESHOLD, "overlap": 1}
        halo = halo_for("log", **self.scales)
        return detect_blobs(self.volume, detector=blob_log, params=params, halo=halo, workers=_WORKERS, progress=False)


class BlobsPruning(Benchmark):
    """Pruning of many blobs."""

    name = "blobs-pruning"
    goal = "20x scikit-image's pruning"
    repeats = 2

    def setup(self) -> None:
        self.few = _cloud(5_000 if self.quick else 100_000)
        self.many = _cloud(20_000 if self.quick else 1_000_000)

    def contenders(self) -> dict[str, Callable[[], Any]]:
        rows = np.asarray(self.few)
        return {
            f"tilecore, {len(self.few)} blobs": lambda: prune_blobs(self.few, 0.5),
            f"scikit-image, {len(self.few)} blobs": lambda: _prune_blobs(rows.copy(), 0.5),
        }

    def remarks(self) -> list[str]:
        start = time.perf_counter()
        kept = prune_blobs(self.many, 0.5)
        ours = time.perf_counter() - start
        seconds = {}
        for part in (20, 10, 5):
            rows = np.asarray(_cloud(len(self.few) // part))
            start = time.perf_counter()
            _prune_blobs(rows, 0.5)
            seconds[len(rows)] = time.perf_counter() - start
        growth = ", ".join(f"{count}: {took:.2f} s" for count, took in seconds.items())
        return [f"tilecore, {len(self.many)} blobs, of which {len(kept)} stay: {ours:.2f} s", f"scikit-image: {growth}"]


class BlobsMatch(Benchmark):
    """Matching of many blobs with the truth; the other way is one sparse assignment of all."""

    name = "blobs-match"
    goal = "200,000 blobs against 200,000 in 2 CPU seconds; 10x one assignment of all for a tenth of them"
    repeats = 3
    tolerance: ClassVar[float] = 4.0

    def setup(self) -> None:
        self.many, self.few = ([_apart(n, seed) for seed in (0, 1)] for n in self._sizes())

    def contenders(self) -> dict[str, Callable[[], Any]]:
        many, few = self._sizes()
        return {
            f"tilecore, {few} blobs": lambda: self.few[0].match(self.few[1], self.tolerance),
            f"one assignment, {few} blobs": self._at_once,
            f"tilecore, {many} blobs": lambda: self.many[0].match(self.many[1], self.tolerance),
        }

    def remarks(self) -> list[str]:
        matching, distances = self.few[0].match(self.few[1], self.tolerance), self._at_once()
        same = len(matching) == len(distances) and bool(np.isclose(matching.distances_um.sum(), distances.sum()))
        return [f"as many pairs, with the same sum of distances, as one assignment: {same}"]

    def _sizes(self) -> tuple[int, int]:
        return (20_000, 2_000) if self.quick else (200_000, 20_000)

    def _at_once(self) -> npt.NDArray[Any]:
        trees = [cKDTree(each.positions) for each in self.few]
        near = trees[0].sparse_distance_matrix(trees[1], self.tolerance, output_type="ndarray")
        alone, n_second = np.arange(len(self.few[0])), len(self.few[1])
        costs = np.concatenate([near["v"] + 1, np.full(len(alone), 1e6)])
        places = np.concatenate([near["i"], alone]), np.concatenate([near["j"], n_second + alone])
        graph = coo_array((costs, places), shape=(len(alone), n_second + len(alone))).tocsr()
        rows, columns = min_weight_full_bipartite_matching(graph)
        first, second = (each.positions for each in self.few)
        paired = columns < n_second
        return np.linalg.norm(first[rows[paired]] - second[columns[paired]], axis=1)


def _apart(n_blobs: int, seed: int) -> Blobs:
    """Random blobs, 14 voxels apart on average."""
    edge = 14 * n_blobs ** (1 / 3)
    positions = np.random.default_rng(seed).uniform(0, edge, (n_blobs, 3))
    return Blobs(dict(zip("zyx", positions.T, strict=True)))


def _nuclei(spacing: int, shape: tuple[int, ...]) -> SyntheticNuclei:
    return SyntheticNuclei(shape, seed=1, spacing=spacing, radius=(3.0, 5.0))


def _cloud(n_blobs: int) -> Blobs:
    """Random blobs as dense as a detector finds them before pruning."""
    numbers = np.random.default_rng(n_blobs)
    edge = (n_blobs * 800.0) ** (1 / 3)
    positions = np.floor(numbers.uniform(0, edge, (n_blobs, 3)))
    return Blobs.of(np.column_stack([positions, numbers.choice([2.0, 3.0, 4.0, 5.0], n_blobs)]))


def _owned(block: Any, start: Any, halo: Any, shape: Any, scales: Any) -> npt.NDArray[Any]:
    rows = blob_log(block, threshold=_THRESHOLD, overlap=1, **scales)
    rows[:, :3] += np.maximum(np.subtract(start, halo), 0)
    own = (rows[:, :3] >= start) & (rows[:, :3] < np.add(start, shape))
    return np.asarray(rows[own.all(axis=1)])


def _peak(statement: str) -> int:
    """Measure the largest memory that a program and its children use together at one time, by sampling [byte]."""
    process = subprocess.Popen([sys.executable, "-c", f"import numpy as np; {statement}"])
    peak = 0
    while process.poll() is None:
        try:
            family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
            peak = max(peak, sum(each.memory_full_info().pss for each in family))
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        time.sleep(0.02)
    if process.returncode:
        raise RuntimeError(f"{statement} ended with {process.returncode}")
    return peak
