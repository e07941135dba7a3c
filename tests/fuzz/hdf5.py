"""Fuzzer of the reader of HDF5, compared with h5py, which writes the files."""

from __future__ import annotations

import random as randomness
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fuzz.regions import check_regions
from tests.fuzz.voxels import DTYPES, draw_shape, voxels
from tilecore import open_source


@dataclass(frozen=True)
class Case:
    """Random dataset, how it is stored, and how it is called."""

    shape: tuple[int, ...]
    dtype: str
    chunks: tuple[int, ...] | None
    filters: str
    written: float
    fill: int
    kind: str
    libver: str
    userblock: int
    others: bool
    detail: int


FILTERS: dict[str, dict[str, Any]] = {
    "none": {},
    "gzip": {"compression": "gzip", "shuffle": True},
    "lzf": {"compression": "lzf"},
    "checksum": {"fletcher32": True},
    "all": {"compression": "gzip", "shuffle": True, "fletcher32": True},
}


def draw(random: randomness.Random) -> Case:
    """Draw a random case."""
    ndim = random.choices([0, 1, 2, 3, 4], [1, 3, 5, 8, 2])[0]
    shape = draw_shape(random, ndim, 3000) if ndim else ()
    is_chunked = bool(shape) and 0 not in shape and random.random() < 0.7
    return Case(
        shape=shape,
        dtype=random.choice([*DTYPES, "f2", ">u8", "i1", ">c16"]),
        chunks=tuple([random.randint(1, n) for n in shape]) if is_chunked else None,
        filters=random.choice(list(FILTERS)) if is_chunked else "none",
        written=random.choice([1, 1, 0.5, 0]),
        fill=random.choice([0, 1, 5]),
        kind=random.choice(["plain", "deep", "link", "resized", "virtual"]),
        libver=random.choice(["earliest", "latest"]),
        userblock=random.choice([0, 0, 512]),
        others=random.random() < 0.5,
        detail=random.getrandbits(32),
    )


def check(case: Case) -> None:
    """Write a dataset with h5py, and compare regions that tilecore reads."""
    h5py = pytest.importorskip("h5py", reason="HDF5 is optional")
    values = voxels(case.detail, case.shape, case.dtype, wild=True)
    name = "some/where/deep" if case.kind == "deep" else "v"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "v.h5"
        with h5py.File(path, "w", libver=case.libver, userblock_size=case.userblock) as file:
            if case.kind == "virtual" and case.shape and 0 not in case.shape:
                _virtual(h5py, file, case, values)
            else:
                _plain(file, case, values, name)
            if case.kind == "link":
                file["link"] = h5py.SoftLink(f"/{name}")
                name = "link"
            if case.others:
                file["text"] = "some text"
                file["table"] = np.zeros(3, [("a", "u1"), ("b", "f4")])
                file["null"] = h5py.Empty("f4")
        with h5py.File(path, "r") as file:
            expected = np.asarray(file[name][()])
        check_regions(open_source(f"{path}:/{name}"), expected, case.detail)
        if case.kind not in ("virtual", "link"):
            check_regions(open_source(path), expected, case.detail, n_regions=1)


def _plain(file: Any, case: Case, values: np.ndarray, name: str) -> None:
    longest = [None] * len(case.shape) if case.kind == "resized" and case.chunks is not None else None
    dataset = file.create_dataset(
        name,
        case.shape,
        case.dtype,
        chunks=case.chunks,
        maxshape=longest,
        fillvalue=np.dtype(case.dtype).type(case.fill),
        **FILTERS[case.filters],
    )
    if not case.shape:
        dataset[()] = values
        return
    n_written = round(case.shape[0] * case.written)
    if values.size:
        dataset[:n_written] = values[:n_written]
    if longest is not None:
        dataset.resize((case.shape[0] + 2, *case.shape[1:]))


def _virtual(h5py: Any, file: Any, case: Case, values: np.ndarray) -> None:
    """Write a dataset that is put together of parts in the same file."""
    layout = h5py.VirtualLayout(case.shape, case.dtype)
    for number, part in enumerate(values):
        file[f"part{number}"] = part
        layout[number] = h5py.VirtualSource(".", f"part{number}", part.shape, case.dtype)
    file.create_virtual_dataset("v", layout)
