"""Fuzzer of the sinks: what tilecore writes is read by zarr-python, h5py, tifffile and numpy."""

from __future__ import annotations

import itertools
import random as randomness
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import tifffile
import yaml
import zarr

from tests.fuzz.regions import check_regions
from tests.fuzz.voxels import DTYPES, assert_same, draw_shape, voxels
from tilecore import Box, ParameterError, create_sink, open_source
from tilecore.formats.pyramids import mean_of_voxels


@dataclass(frozen=True)
class Case:
    """Random volume, and the file that it is written to."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    options: tuple[tuple[str, Any], ...]
    voxel_size_um: tuple[float, float, float] | None
    by_units: bool
    replaces: bool
    detail: int


NAMES = ["v.npy", "v.bin", "v.tif", "v.ome.tif", "v.zarr", "v.ome.zarr", "v.h5", "v.h5:/a/b"]
_CODECS = {"zarr": ["none", "zstd", "gzip", "blosc", "default"], "h5": ["none", "gzip", "lzf"]}


def draw(random: randomness.Random) -> Case:
    """Draw a random case."""
    name, ndim = random.choice(NAMES), random.choices([0, 1, 2, 3, 4, 5], [1, 3, 6, 8, 4, 1])[0]
    shape = draw_shape(random, ndim, 3000) if ndim else ()
    if name == "v.ome.zarr" and ndim == 2 and random.random() < 0.5:
        shape = random.choice([(random.randint(257, 700), random.randint(1, 20)), (1, random.randint(257, 1100))])
    options: dict[str, Any] = {}
    if "zarr" in name or ".h5" in name:
        if ndim and random.random() < 0.7:
            options["chunks"] = tuple([random.randint(1, max(n + 2, 1)) for n in shape])
        options["codec"] = random.choice(_CODECS["h5" if ".h5" in name else "zarr"])
    if name == "v.ome.zarr":
        options["ome_zarr_version"] = random.choice(["0.4", "0.5"])
        options["pyramid"] = random.random() < 0.8
        options["axes"] = "TCZYX"[len("TCZYX") - ndim :]
    if "zarr" in name and "chunks" in options and options.get("ome_zarr_version") != "0.4" and random.random() < 0.4:
        options["shards"] = tuple([random.randint(1, 3) * n for n in options["chunks"]])
    return Case(
        name=name,
        shape=shape,
        dtype=random.choice([*DTYPES, "f2", ">u8", "i1", ">c16", "longdouble"]),
        options=tuple(sorted(options.items())),
        voxel_size_um=random.choice([None, (1.0, 0.5, 0.25), (8.0, 1.0, 1.0)]),
        by_units=random.random() < 0.5,
        replaces=random.random() < 0.3,
        detail=random.getrandbits(32),
    )


def check(case: Case) -> None:
    """Write the volume, and read it with another library."""
    values = voxels(case.detail, case.shape, case.dtype, wild=np.dtype(case.dtype).kind != "c")
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/{case.name}"
        if case.replaces and ".h5" in case.name:
            with h5py.File(f"{folder}/v.h5", "w") as file:
                file["a/kept"], file["other"] = 5, np.arange(3)
        try:
            sink = create_sink(
                path,
                case.shape,
                case.dtype,
                voxel_size_um=case.voxel_size_um,
                overwrite=case.replaces,
                **dict(case.options),
            )
        except ParameterError as error:
            assert _is_refused(case), f"refused: {error}"
            return
        assert not _is_refused(case), "it is not refused"
        with sink:
            _write(sink, values, by_units=case.by_units)
        source = open_source(path)
        if case.dtype == "longdouble":  # its bytes are not all used
            np.testing.assert_array_equal(source[...].reshape(case.shape), values)
            return
        _compare(case, Path(folder), values)
        if case.name != "v.bin" or len(case.shape) != 1:  # one axis is a recording of one channel
            check_regions(source, values, case.detail)
        if source.info.kind not in ("npy", "raw"):
            assert source.voxel_size_um == case.voxel_size_um or case.voxel_size_um is None or _is_flat(case)


def _is_flat(case: Case) -> bool:
    """Whether there is no z, whose size then need not be kept."""
    return len(case.shape) < 3


def _is_refused(case: Case) -> bool:
    is_long = case.dtype == "longdouble"
    if case.name.endswith(".tif"):
        return len(case.shape) < 2 or 0 in case.shape or is_long
    if case.name == "v.ome.zarr" and len(case.shape) < 2:
        return True
    return "zarr" in case.name and is_long


def _write(sink: Any, values: np.ndarray, *, by_units: bool) -> None:
    """Write all at once, or each unit alone, in any order."""
    units = sink.write_units or tuple([max(1, n // 2) for n in values.shape])
    if not by_units:
        sink[...] = values
        return
    steps = [range(0, n, step) for n, step in zip(values.shape, units, strict=True)]
    for start in sorted(itertools.product(*steps), key=lambda place: hash((place, 5))):
        stop = [min(at + step, n) for at, step, n in zip(start, units, values.shape, strict=True)]
        box = Box(start, stop).slices
        sink[box] = values[box]


def _compare(case: Case, folder: Path, values: np.ndarray) -> None:
    """Compare what other libraries read."""
    path = folder / case.name
    if case.name == "v.npy":
        assert_same(np.load(path), values, "numpy")
    elif case.name == "v.bin":
        told = yaml.safe_load(path.with_suffix(".yaml").read_text())
        found = np.fromfile(path, told["dtype"])
        assert_same(found.reshape(case.shape), values, "numpy")
    elif case.name.endswith(".tif"):
        kept = values.view(np.uint8) if values.dtype == bool else values  # TIFF has no bool
        assert_same(tifffile.imread(path, squeeze=False).reshape(case.shape), kept, "tifffile")
    elif case.name == "v.zarr":
        assert_same(_zarr(path), values, "zarr")
    elif case.name == "v.ome.zarr":
        _compare_levels(path, values)
    else:
        _compare_hdf5(case, folder / "v.h5", values)


def _compare_hdf5(case: Case, path: Path, values: np.ndarray) -> None:
    name = case.name.partition(":/")[2]
    with h5py.File(path) as file:
        assert_same(np.asarray(file[name or "data"][()]), values, "h5py")
        if name and case.replaces:
            assert file["a/kept"][()] == 5 and file["other"][()].tolist() == [0, 1, 2], "others are not kept"
        elif case.replaces:
            assert list(file) == ["data"]


def _compare_levels(path: Path, values: np.ndarray) -> None:
    """Compare all levels: each is the mean of the one before."""
    levels = [_zarr(path / str(number)) for number in range(len(open_source(path).info.levels))]
    assert_same(levels[0], values, "zarr")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numbers that are none
        for fine, coarse in itertools.pairwise(levels):
            factors = [
                1 + (len_fine > len_coarse) for len_fine, len_coarse in zip(fine.shape, coarse.shape, strict=True)
            ]
            assert_same(_with_one_nan(coarse), _with_one_nan(mean_of_voxels(fine, factors)), "level")


def _with_one_nan(values: np.ndarray) -> np.ndarray:
    """The same numbers with all NaN alike: nothing says which of them a sum of infinities is."""
    if values.dtype.kind not in "fc":
        return values
    same = np.array(values, dtype=values.dtype.newbyteorder("="))
    parts = same.reshape(-1).view(same.real.dtype)
    parts[np.isnan(parts)] = np.nan
    return same


def _zarr(path: Path) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(zarr.open_array(path, mode="r")[...])
