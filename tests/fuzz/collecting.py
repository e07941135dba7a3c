"""Fuzzer of `collect_tiles`, `iter_tiles` and `reduce_tiles`, compared with plain loops."""

from __future__ import annotations

import itertools
import random as randomness
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tests.fuzz import sources
from tests.fuzz.functions import Pairs, padded
from tests.fuzz.runs import as_given, draw_boundary, draw_pairs, draw_run
from tests.fuzz.voxels import DTYPES, assert_same, draw_shape, voxels
from tilecore import Tile, TileError, collect_tiles, iter_tiles, reduce_tiles

VERBS = ["collect", "collect", "iter", "reduce", "planned", "stopped", "failing"]


@dataclass(frozen=True)
class Case:
    """Random parameters of one run."""

    verb: str
    shape: tuple[int, ...]
    dtype: str
    source: str
    tile_shape: tuple[int, ...]
    halo: Pairs
    boundary: Any
    answer: str
    pass_tile: bool
    copy: bool
    journal: bool
    run: dict[str, Any]
    detail: int


class Part(NamedTuple):
    """Expected tile: its number, and its write and read boxes as (start, stop)."""

    number: int
    write: tuple[tuple[int, int], ...]
    read: tuple[tuple[int, int], ...]


@dataclass
class Answering:
    """Function of blocks that returns one of several kinds of results."""

    answer: str
    writes: bool = False
    failing: frozenset[int] = frozenset()
    _buffers: dict[Any, np.ndarray] = field(default_factory=dict)

    def __call__(self, block: np.ndarray, tile: Tile | None = None) -> Any:
        if tile is not None and tile.number in self.failing:
            raise ValueError(f"tile {tile.number} fails")
        result = self._in_its_buffer(block) if self.answer == "buffer" else ANSWERS[self.answer](block)
        if self.writes:
            block[...] = block.dtype.type(1)
        return result

    def _in_its_buffer(self, block: np.ndarray) -> Any:
        """Return an array that the next call in this thread uses again."""
        key = (threading.get_ident(), block.shape)
        buffer = self._buffers.setdefault(key, np.empty(block.shape, block.dtype))
        buffer[...] = block
        return {"there": [buffer]}


def _nested(block: np.ndarray) -> Any:
    return {"shape": list(block.shape), "parts": (block[..., :1].copy(), [None, True, 1.5, "text"])}


#: What a function makes of a block.
ANSWERS: dict[str, Callable[[np.ndarray], Any]] = {
    "sum": lambda block: block.sum() if block.dtype.kind == "c" else block.sum(dtype=np.float64).item(),
    "block": lambda block: block.copy(),
    "turned": lambda block: block[tuple([slice(None, None, -1)] * block.ndim)].copy().T,
    "view": lambda block: block[..., ::2],
    "large": lambda block: np.resize(np.append(block, block.dtype.type(1)), 40_000),
    "nested": _nested,
    "nothing": lambda block: None,
    "text": lambda block: str(block.shape),
    "scalar": lambda block: np.float32(block.size),
    "empty": lambda block: np.empty((0, 3), block.dtype),
}


def draw(random: randomness.Random) -> Case:
    """Draw a random case."""
    ndim = random.choices([1, 2, 3, 4], [2, 4, 6, 1])[0]
    dtype, shape = random.choice(DTYPES), draw_shape(random, ndim, 2000)
    verb = random.choice(VERBS)
    tile_shape = [random.randint(max(1, n // 4), n + 2) for n in shape]
    answer = random.choice([*ANSWERS, "buffer"])
    # A function that has kept something is another one to a journal.
    keeps_nothing = verb in ("collect", "iter", "reduce") and answer != "buffer"
    return Case(
        verb=verb,
        shape=shape,
        dtype=dtype,
        source=sources.draw_kind(random, shape, dtype),
        tile_shape=tuple(tile_shape),
        halo=draw_pairs(random, ndim),
        boundary=draw_boundary(random, dtype),
        answer=answer,
        pass_tile=verb == "failing" or random.random() < 0.3,
        copy=random.random() < 0.3,
        journal=keeps_nothing and random.random() < 0.2,
        run=draw_run(random),
        detail=random.getrandbits(32),
    )


def parts_of(case: Case) -> Iterator[Part]:
    """Compute the tiles of a case by a plain loop."""
    steps = [range(0, n, tile) for n, tile in zip(case.shape, case.tile_shape, strict=True)]
    for number, starts in enumerate(itertools.product(*steps)):
        write = tuple(
            [(first, min(first + tile, n)) for first, tile, n in zip(starts, case.tile_shape, case.shape, strict=True)]
        )
        read = tuple(
            [
                (max(first - before, 0), min(stop + after, n))
                for (first, stop), (before, after), n in zip(write, case.halo, case.shape, strict=True)
            ]
        )
        yield Part(number, write, read)


def check(case: Case) -> None:
    """Run a case, and compare with the loop."""
    with tempfile.TemporaryDirectory() as folder:
        _Check(case, Path(folder)).run()


class _Check:
    def __init__(self, case: Case, folder: Path) -> None:
        self.case, self.folder, self.random = case, folder, randomness.Random(case.detail)
        values = voxels(case.detail, case.shape, case.dtype)
        if case.source == "broadcast" and values.size:
            values = np.repeat(values[:1], case.shape[0], 0)
        self.values = values
        self.source = sources.make_source(case.source, values, folder, self.random)
        self.parts = list(parts_of(case))
        self.writes = case.copy and case.answer != "view"
        self.function = Answering(case.answer, self.writes)
        self.whole = values
        if case.boundary is not None and values.size:
            self.whole = padded(values, case.halo, case.boundary)

    def run(self) -> None:
        getattr(self, f"_{self.case.verb}")()
        assert_same(self.source.read(), self.values, "the source, afterwards")

    def _arguments(self, **others: Any) -> dict[str, Any]:
        case = self.case
        chosen: dict[str, Any] = {
            "tile_shape": case.tile_shape,
            "halo": list(case.halo) if len(case.shape) > 3 else as_given(self.random, case.halo),
            "boundary": case.boundary,
            "pass_tile": case.pass_tile,
            "copy": case.copy,
            **case.run,
            **others,
        }
        if case.journal:
            chosen["journal"] = self.folder / "journal"
        return chosen

    def _block(self, part: Part) -> np.ndarray:
        """Cut the expected block of a tile out of the whole volume."""
        if self.case.boundary is None:
            return self.whole[tuple([slice(*span) for span in part.read])].copy()
        spans = zip(part.write, self.case.halo, strict=True)
        return self.whole[tuple([slice(low, high + before + after) for (low, high), (before, after) in spans])].copy()

    def _expected(self) -> list[Any]:
        return [Answering(self.case.answer, self.writes)(self._block(part)) for part in self.parts]

    def _collect(self) -> None:
        found = collect_tiles(self.function, self.source.given, **self._arguments())
        assert_alike(found, self._expected())
        if self.case.journal:
            again = collect_tiles(self.function, self.source.given, **self._arguments(resume=True))
            assert_alike(again, self._expected())

    def _iter(self) -> None:
        found = list(iter_tiles(self.function, self.source.given, **self._arguments()))
        found.sort(key=lambda pair: pair[0].number)
        for (tile, _), part in zip(found, self.parts, strict=True):
            assert tile.number == part.number
            assert tuple(zip(tile.write.start, tile.write.stop, strict=True)) == part.write
            assert tuple(zip(tile.read.start, tile.read.stop, strict=True)) == part.read
        assert_alike([result for _, result in found], self._expected())

    def _reduce(self) -> None:
        begin = self.random.choice([None, ()])
        total = reduce_tiles(
            lambda block, **named: (self.function(block, **named),),
            lambda total, result: total + result,
            self.source.given,
            initial=begin,
            **self._arguments(),
        )
        expected = self._expected()
        assert_alike(total, tuple(expected) if expected else begin)

    def _planned(self) -> None:
        seen = np.zeros(self.case.shape, int)
        # What a tile of any shape is given, is told by a function that gives its block.
        function = Answering("block")
        for tile, block in iter_tiles(function, self.source.given, **self._arguments(tile_shape=None)):
            seen[tile.write.slices] += 1
            write = tuple(zip(tile.write.start, tile.write.stop, strict=True))
            read = tuple(zip(tile.read.start, tile.read.stop, strict=True))
            assert_same(block, self._block(Part(tile.number, write, read)), f"block of {tile}")
        assert (seen == 1).all(), "tiles do not partition the volume"

    def _stopped(self) -> None:
        most = self.random.randint(0, 3)
        iterator = iter_tiles(self.function, self.source.given, **self._arguments())
        found = list(itertools.islice(iterator, most))
        iterator.close()
        for tile, result in found:
            assert_alike(result, self._expected()[tile.number])

    def _failing(self) -> None:
        failing = frozenset([part.number for part in self.parts if self.random.random() < 0.2])
        function = Answering(self.case.answer, self.writes, failing)
        arguments = self._arguments(retries=self.random.choice([0, 1]), on_error="finish")
        try:
            found = collect_tiles(function, self.source.given, **arguments)
        except TileError as error:
            found = sorted([failure.tile.number for failure in error.failures])
            assert found == sorted(failing), f"tiles {found} failed, expected {sorted(failing)}"
        else:
            assert not failing
            assert_alike(found, self._expected())


def assert_alike(found: Any, expected: Any, what: str = "result") -> None:
    """Fail unless two results have equal types and contents."""
    assert type(found) is type(expected), f"{what}: {type(found).__name__}, expected {type(expected).__name__}"
    if isinstance(expected, np.ndarray):
        assert_same(found, expected, what)
    elif isinstance(expected, (list, tuple)):
        assert len(found) == len(expected), f"{what}: {len(found)} long, expected {len(expected)}"
        for number, (mine, other) in enumerate(zip(found, expected, strict=True)):
            assert_alike(mine, other, f"{what}[{number}]")
    elif isinstance(expected, dict):
        assert_alike(list(found.items()), list(expected.items()), what)
    else:
        assert repr(found) == repr(expected), f"{what}: {found!r}, expected {expected!r}"
