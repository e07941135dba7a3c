"""Fuzzer of `map_tiles`, compared with the function on the whole volume."""

from __future__ import annotations

import random as randomness
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.fuzz import sources, targets
from tests.fuzz.functions import CORES, MANNERS, MOVES, WRITES, Pairs, Placing, TileFunction
from tests.fuzz.runs import as_given, draw_boundary, draw_pairs, draw_run
from tests.fuzz.targets import Axis, Target
from tests.fuzz.voxels import DTYPES, assert_same, draw_shape, voxels
from tilecore import AlignmentError, OutputExistsError, ParameterError, TilecoreError, TileError, map_tiles

_OLD = b"an older file of the same name"


@dataclass(frozen=True)
class Case:
    """Random parameters of one run."""

    shape: tuple[int, ...]
    dtype: str
    source: str
    tile_shape: tuple[int, ...] | None
    halo: Pairs
    reach: Pairs
    boundary: Any
    core: str
    manner: str
    placing: Placing
    own: bool
    fails: bool
    mask_axes: int
    copy: bool
    outs: tuple[str, ...]
    out_dtypes: tuple[str | None, ...]
    existing: str
    run: dict[str, Any]
    detail: int

    @property
    def n_axes(self) -> int:
        """Number of axes of the outputs."""
        return len(self.shape) - (self.placing.dropped is not None) + len(self.placing.added)


def draw(random: randomness.Random) -> Case:
    """Draw a random case."""
    ndim = random.choices([1, 2, 3, 4], [2, 4, 6, 2])[0]
    dtype, shape = random.choice(DTYPES), draw_shape(random, ndim)
    source = sources.draw_kind(random, shape, dtype)
    boundary, core = draw_boundary(random, dtype), random.choice(CORES)
    if dtype.endswith("c8") and core == "scipy":
        core = "largest"
    manner = random.choices(MANNERS, [6, 3, 1, 1, 1, 1, 1])[0]
    placing = _draw_placing(random, shape)
    halo = _fitting(draw_pairs(random, ndim), placing)
    reach = tuple([(random.randint(0, b), random.randint(0, a)) for b, a in halo])
    several = random.random() < 0.15
    outs = tuple([targets.draw_kind(random) for _ in range(2 if several else 1)])
    outs = ("none",) * len(outs) if placing.added and random.random() < 0.3 else outs
    tile_shape = _draw_tiles(random, shape, placing)
    if any(kind.startswith("path") and Path(kind).suffix in targets.CHUNKED for kind in outs) and random.random() < 0.9:
        tile_shape = None  # such a file is one chunk
    return Case(
        shape=shape,
        dtype=dtype,
        source=source,
        tile_shape=tile_shape,
        halo=halo,
        reach=reach,
        boundary=boundary,
        core=core,
        manner=manner,
        placing=placing,
        own=random.random() < 0.2,
        fails=random.random() < 0.05,
        mask_axes=random.choice([0] * 8 + [ndim, max(ndim - 1, 1)]),
        copy=manner in WRITES or random.random() < 0.1,
        outs=outs,
        out_dtypes=tuple([random.choice([None, None, None, "<f8", "<i8", ">i4", "<u2"]) for _ in outs]),
        existing=random.choice([*["none"] * 6, "kept", "replaced"]),
        run=draw_run(random),
        detail=random.getrandbits(32),
    )


def _draw_placing(random: randomness.Random, shape: tuple[int, ...]) -> Placing:
    scale, dropped, added = [1] * len(shape), None, []
    if random.random() < 0.2:
        scale = [random.choice([1, 2, 3, -2, -3]) for _ in shape]
    if random.random() < 0.12 and len(shape) > 1:
        dropped = random.randrange(len(shape))
    n_axes = len(shape) - (dropped is not None)
    for _ in range(random.choice([0] * 8 + [1, 2])):
        n_axes += 1
        added.append(random.randrange(n_axes))
    positions = sorted(set(added))
    return Placing(tuple(scale), dropped, tuple([(position, random.randint(1, 3)) for position in positions]))


def _fitting(halo: Pairs, placing: Placing) -> Pairs:
    """Draw a halo of whole output voxels, with none along a dropped axis."""
    steps = [max(-factor, 1) for factor in placing.scale]
    return tuple(
        [
            (0, 0) if axis == placing.dropped else (before // step * step, after // step * step)
            for axis, ((before, after), step) in enumerate(zip(halo, steps, strict=True))
        ]
    )


def _draw_tiles(random: randomness.Random, shape: tuple[int, ...], placing: Placing) -> tuple[int, ...] | None:
    if random.random() < 0.12:
        return None
    most = 60 if random.random() < 0.9 else 400
    tile = [random.choice([random.randint(1, max(n, 1)), random.randint(max(1, n // 3), n + 3)]) for n in shape]
    while np.prod([-(-n // each) for n, each in zip(shape, tile, strict=True)]) > most:
        tile = [each + 1 for each in tile]
    for axis, factor in enumerate(placing.scale):
        if factor < 0:
            tile[axis] = -(-tile[axis] // -factor) * -factor
    if placing.dropped is not None:
        tile[placing.dropped] = max(shape[placing.dropped], tile[placing.dropped])
    return tuple(tile)


def check(case: Case) -> None:
    """Run a case, and compare with the whole volume."""
    with tempfile.TemporaryDirectory() as folder:
        _Check(case, Path(folder)).run()


class _Check:
    def __init__(self, case: Case, folder: Path) -> None:
        self.case, self.random = case, randomness.Random(case.detail)
        values = voxels(case.detail, case.shape, case.dtype, wild=case.core in MOVES and self._keeps_values())
        if case.source == "broadcast" and values.size:
            axis = self.random.randrange(values.ndim)
            values = np.repeat(values.take([0], axis), case.shape[axis], axis)
        self.values = values
        self.source = sources.make_source(case.source, values, folder, self.random)
        self.mask = voxels(case.detail + 1, case.shape[: case.mask_axes], "?") if case.mask_axes else None
        self.function = TileFunction(
            core=case.core,
            manner=case.manner,
            halo=case.halo,
            reach=case.reach,
            boundary=case.boundary,
            placing=case.placing,
            own=case.own,
            second=len(case.outs) > 1,
            fails=case.fails,
        )
        self.offset = self.random.randint(0, 5)
        self.expected = self.function.whole(values, self.mask, self.offset)
        self.folder = folder
        self.dtypes = [
            found.dtype if asked is None or _loses(found, np.dtype(asked)) else np.dtype(asked)
            for found, asked in zip(self.expected, case.out_dtypes, strict=True)
        ]
        self.targets: list[Target] = []

    def _keeps_values(self) -> bool:
        placing = self.case.placing
        return placing.dropped is None and not placing.added and set(self.case.out_dtypes) == {None}

    def run(self) -> None:
        case = self.case
        axes = [_axes_of(case, found.shape) for found in self.expected]
        kinds = [
            "none" if targets.is_refused(kind, found.shape, dtype) else kind
            for kind, found, dtype in zip(case.outs, self.expected, self.dtypes, strict=True)
        ]
        for number, kind in enumerate(kinds):
            folder = self.folder / str(number)
            folder.mkdir()
            self.targets.append(targets.make_target(kind, axes[number], self.dtypes[number], folder, self.random))
        old = self._write_old_files()
        shared = any(targets.share_units(each, target.units) for each, target in zip(axes, self.targets, strict=True))
        try:
            result = map_tiles(self.function, self._sources(), **self._arguments())
        except OutputExistsError:
            assert old and case.existing == "kept", "refused, though no file is to be kept"
            assert all(path.read_bytes() == _OLD for path in old), "a file was changed, though it is not to be replaced"
            return
        except AlignmentError:
            assert shared, "refused, though no two tiles share a unit"
            return
        except ParameterError as error:
            if "OME-Zarr images have axes of TCZYX" in str(error):  # files of four axes may have others
                assert any(kind.endswith(".ome.zarr") for kind in kinds), "refused, though no output is OME-Zarr"
                assert case.source.startswith(("tif", "path")), "refused, though no file says which axes they are"
                return
            dropped = self.case.placing.dropped
            assert dropped is not None, "refused, though no axis is dropped"
            assert self.case.shape[dropped] == 0, "refused, though there are voxels along the axis that is dropped"
            return
        except TilecoreError as error:
            assert self._overflows(), f"{type(error).__name__}: {error}"
            assert isinstance(error, TileError)
            return
        assert not old or case.existing == "replaced", "a file was replaced without being asked"
        assert not shared, "two tiles share a unit, and that was not refused"
        assert not self._overflows(), "voxels do not fit, and that was not refused"
        self._compare(result if len(kinds) > 1 else (result,))

    def _write_old_files(self) -> list[Path]:
        """Write files under the names of the outputs, before the run."""
        paths = [target.given for target in self.targets if isinstance(target.given, Path)]
        old = [path for path in paths if path.suffix != ".zarr"] if self.case.existing != "none" else []
        for path in old:
            path.write_bytes(_OLD)
        return old

    def _sources(self) -> Any:
        return self.source.given if self.mask is None else [self.source.given, self.mask]

    def _arguments(self) -> dict[str, Any]:
        case, placing = self.case, self.case.placing
        outs = [target.given for target in self.targets]
        dtypes = [None if asked is None else dtype for asked, dtype in zip(case.out_dtypes, self.dtypes, strict=True)]
        chosen: dict[str, Any] = {}
        if any(factor != 1 for factor in placing.scale):
            chosen["scale"] = [factor if factor > 0 else 1 / -factor for factor in placing.scale]
        if placing.dropped is not None:
            chosen["drop_axis"] = placing.dropped - self.random.choice([0, len(case.shape)])
        if placing.added:
            chosen["new_axis"] = dict(placing.added)
        return {
            "tile_shape": case.tile_shape,
            "halo": list(case.halo) if len(case.shape) > 3 else as_given(self.random, case.halo),
            "boundary": case.boundary,
            "out": outs if len(outs) > 1 else outs[0],
            "dtype": dtypes if len(dtypes) > 1 else dtypes[0],
            "kwargs": {"offset": self.offset},
            "pass_tile": self.function.needs_tile,
            "copy": case.copy,
            "overwrite": case.existing == "replaced",
            **chosen,
            **case.run,
        }

    def _overflows(self) -> bool:
        """Whether an integer output cannot hold the results."""
        return any(_overflows(found, dtype) for found, dtype in zip(self.expected, self.dtypes, strict=True))

    def _compare(self, results: tuple[Any, ...]) -> None:
        is_empty = 0 in self.case.shape
        for number, (target, found, dtype) in enumerate(zip(self.targets, self.expected, self.dtypes, strict=True)):
            what, expected = f"output {number}", found.astype(dtype)
            result = results[number]
            if is_empty and target.dtype is None and self.case.out_dtypes[number] is None:
                expected = expected.astype(result.dtype)  # no tile has told the dtype
            if self.case.source.startswith("zarr path") and self.case.out_dtypes[number] is None:
                expected = expected.astype(expected.dtype.newbyteorder("="))  # in which zarr's voxels are read
            if target.given is None:
                assert_same(result, expected, what, dtype=True)
            elif isinstance(target.given, np.ndarray):
                assert result is target.given, f"{what}: the result is not out"
            if target.read is not None:
                assert_same(target.read().reshape(expected.shape), expected, f"{what}, read again")
            if isinstance(target.given, Path):
                assert_same(result[(slice(None),) * expected.ndim], expected, f"{what}, opened")
            if target.room is not None:
                target.room.assert_nothing_else_written(what)
        assert_same(self.source.read(), self.values, "the source, afterwards")


def _axes_of(case: Case, shape: tuple[int, ...]) -> list[Axis]:
    """Axes of an output, with the length that a tile writes along each."""
    scaled: list[int | None] = []
    for axis, factor in enumerate(case.placing.scale):
        if axis != case.placing.dropped:
            tile = None if case.tile_shape is None else case.tile_shape[axis]
            scaled.append(tile if tile is None else tile * factor if factor > 0 else tile // -factor)
    for position, _ in case.placing.added:
        scaled.insert(position, None)
    return [Axis(length, tile) for length, tile in zip(shape, scaled, strict=True)]


def _loses(found: np.ndarray, asked: np.dtype[Any]) -> bool:
    """Whether a conversion loses imaginary parts, of which numpy warns."""
    return found.dtype.kind == "c" and asked.kind != "c"


def _overflows(found: np.ndarray, dtype: np.dtype[Any]) -> bool:
    if dtype.kind not in "iu" or found.size == 0 or np.can_cast(found.dtype, dtype):
        return False
    limits = np.iinfo(dtype)
    return not (float(found.min()) > limits.min - 1 and float(found.max()) < limits.max + 1)
