"""Fuzzer of `pmap_chunks`, compared with a plain loop."""

from __future__ import annotations

import contextlib
import io
import itertools
import random as randomness
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.fuzz import sources
from tests.fuzz.collecting import assert_alike
from tests.fuzz.voxels import DTYPES, assert_same, draw_shape, voxels
from tilecore import SharedMemory, pmap_chunks, settings


@dataclass(frozen=True)
class Case:
    """Random parameters of one call."""

    shape: tuple[int, ...]
    dtype: str
    source: str
    chunks: tuple[int, ...] | None
    answer: str
    workers: int
    start_method: str
    use_imap: bool
    unordered: bool
    detail: int


def _cut(array: Any, start: Any, chunks: Any, beyond: int = 0) -> np.ndarray:
    spans = zip(start, chunks, strict=True)
    if isinstance(array, SharedMemory):
        with array.txn() as inside:
            return _cut(inside, start, chunks, beyond).copy()
    return np.asarray(array[tuple([slice(max(0, first - beyond), first + n + beyond) for first, n in spans])])


def _total(array: Any, start: Any, chunks: Any) -> Any:
    return _cut(array, start, chunks, 2).sum().item()


def _written(array: Any, start: Any, chunks: Any) -> Any:
    """Write into the array, and sum it up: writes of other calls must not be visible."""
    block = array[tuple([slice(first, first + n) for first, n in zip(start, chunks, strict=True)])]
    block[...] = block.dtype.type(1)
    return np.asarray(array).sum().item()


def _whole(result: Any) -> Any:
    """The whole of a result, to sort by."""
    return result.tobytes() if isinstance(result, np.ndarray) else repr(result)


ANSWERS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "total": _total,
    "written": _written,
    "part": _cut,
    "where": lambda array, start, chunks: (tuple(int(first) for first in start), [int(n) for n in chunks]),
    "large": lambda array, start, chunks: np.resize(np.append(_cut(array, start, chunks), 1), 40_000),
}


def draw(random: randomness.Random) -> Case:
    """Draw a random case."""
    ndim = random.choices([1, 2, 3, 4], [2, 4, 6, 1])[0]
    dtype, shape = random.choice(DTYPES), draw_shape(random, ndim, 2000)
    source = sources.draw_kind(random, shape, dtype)
    while "path" in source or source in ("npy", "npy F", "tif", "tif deflate", "h5", "h5 chunks"):
        source = sources.draw_kind(random, shape, dtype)  # an array is needed
    protects = " in " in source and "shared" not in source and source != "zarr in memory"
    answer = (
        random.choice(list(ANSWERS)) if protects else random.choice([name for name in ANSWERS if name != "written"])
    )
    return Case(
        shape=shape,
        dtype=dtype,
        source=source,
        chunks=None if random.random() < 0.1 else tuple([random.randint(max(1, n // 4), n + 2) for n in shape]),
        answer=answer,
        workers=random.choices([0, 1, 2], [1, 8, 1])[0],
        start_method=random.choices(["forkserver", "fork", "spawn"], [60, 35, 5])[0],
        use_imap=random.random() < 0.1,
        unordered=random.random() < 0.3,
        detail=random.getrandbits(32),
    )


def check(case: Case) -> None:
    """Call `pmap_chunks`, and compare with the loop."""
    values = voxels(case.detail, case.shape, case.dtype)
    if case.source == "broadcast" and values.size:
        values = np.repeat(values[:1], case.shape[0], 0)
    with tempfile.TemporaryDirectory() as folder, settings.override(start_method=case.start_method):
        source = sources.make_source(case.source, values, Path(folder), randomness.Random(case.detail))
        function = ANSWERS[case.answer]
        quiet = contextlib.redirect_stderr(io.StringIO()) if case.use_imap else contextlib.nullcontext()
        with quiet:
            found = pmap_chunks(
                (lambda given: function(*given)) if case.use_imap else function,
                source.given,
                case.chunks,
                case.workers,
                use_imap=case.use_imap,
                unordered=case.unordered,
            )
        chunks = case.chunks or getattr(source.given, "chunks", None) or [max(n, 1) for n in case.shape]
        steps = [range(0, n, step) for n, step in zip(case.shape, chunks, strict=True)]
        expected = [function(values.copy(), start, chunks) for start in itertools.product(*steps)]
        if case.unordered:
            found.sort(key=_whole)
            expected.sort(key=_whole)
        assert_alike(found, expected)
        assert_same(source.read(), values, "the array, afterwards")
