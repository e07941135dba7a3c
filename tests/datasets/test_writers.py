"""Property tests: whoever writes a variable, and whatever is changed on disk then, it comes back as it was."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from tilecore import DatasetVariable, map_tiles
from tilecore.datasets import open_dataset, rechunk_dataset, save_variable, update_metadata

NUMBERS = ["?", "i1", "u2", "i4", "u8", "f2", "f4", "f8", "c8"]
OTHERS = ["M8[ns]", "m8[ns]", "m8[s]", "<U3"]
DIMS = ("frame", "height", "width")


def values(draw: st.DrawFn, shape: tuple[int, ...], kind: str) -> npt.NDArray[Any]:
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    numbers = rng.integers(0, 99, shape)
    if kind != "<U3":
        return np.asarray(numbers % 2 if kind == "?" else numbers).astype(kind)
    words = np.array(["ab ", "bcd", ""])[np.asarray(numbers) % 3]
    return words.astype(object if draw(st.booleans()) else kind)  # Python's text, or numpy's


@st.composite
def variables(draw: st.DrawFn, kinds: list[str]) -> xr.DataArray:
    shape = tuple(draw(st.lists(st.integers(1, 6), min_size=1, max_size=3)))
    kind = draw(st.sampled_from(kinds))
    array = values(draw, shape, kind).astype(kind)
    var = xr.DataArray(array, dims=DIMS[: len(shape)], name="V", attrs={"unit": "s", "list": [1, 2.5], "none": None})
    for dim, length in zip(var.dims, shape, strict=True):
        for name in draw(st.sets(st.sampled_from([dim, f"of_{dim}"]))):
            labels = values(draw, (length,), draw(st.sampled_from(NUMBERS + OTHERS)))
            var = var.assign_coords({name: (dim, np.arange(length) if name == dim else labels, {"a": 1})})
    if draw(st.booleans()):
        var = var.assign_coords(one=values(draw, (), draw(st.sampled_from(NUMBERS)))[()])
        var = var.assign_coords(all=(var.dims, values(draw, shape, draw(st.sampled_from(NUMBERS + OTHERS)))))
    blocks = {dim: draw(st.integers(1, length)) for dim, length in zip(var.dims, shape, strict=True)}
    return var.chunk(blocks) if draw(st.booleans()) else var


def check(found: xr.DataArray, var: xr.DataArray) -> None:
    xr.testing.assert_identical(found.compute(), var.compute())
    assert found.dtype == var.dtype
    for name, coordinate in var.coords.items():
        kind = "U" if coordinate.dtype.kind == "O" else coordinate.dtype.kind
        assert found[name].dtype.kind == kind
        assert coordinate.dtype.kind in "OU" or found[name].dtype == coordinate.dtype


def check_on_disk(folder: Path, var: xr.DataArray) -> None:
    """By `open_dataset`, and by xarray itself, which looks for metadata of all arrays first."""
    check(open_dataset(folder, strict=True)["V"], var)
    with xr.open_zarr(folder / "V.zarr") as opened:
        check(opened["V"], var)
    assert [each.name for each in folder.iterdir()] == ["V.zarr"]


def written_by_map_tiles(var: xr.DataArray, folder: Path, chunks: Any) -> xr.DataArray:
    out = DatasetVariable(folder, "V", chunks=chunks)
    return map_tiles(np.copy, var, out=out, overwrite=True, executor="serial", journal=False)


CHUNKS = st.none() | st.dictionaries(st.just("frame"), st.integers(-1, 7))


@pytest.mark.parametrize("writer", ["map_tiles", "3", "2", "later"])
@settings(max_examples=10)
@given(data=st.data(), chunks=CHUNKS, other=st.integers(-1, 4))
def test_what_was_written_comes_back(writer: str, data: st.DataObject, chunks: Any, other: int) -> None:
    var = data.draw(variables(NUMBERS if writer == "map_tiles" else NUMBERS + OTHERS))
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root, "day1", "dataset")
        if writer == "map_tiles":
            result: Any = written_by_map_tiles(var, folder, chunks)
        elif writer == "later":
            result = save_variable(var, folder, chunks=chunks, compute=False).compute()
        else:
            result = save_variable(var, folder, chunks=chunks, zarr_format=2 if writer == "2" else 3)
        check(result, var)
        check_on_disk(folder, var)
        update_metadata(root, "^dataset$", {"session": -1})
        var = var.assign_coords(session="day1")
        check_on_disk(folder, var)
        rechunk_dataset(folder, Path(root, "copy"), chunks={"frame": other})
        check_on_disk(Path(root, "copy"), var)
        again = open_dataset(folder)["V"]  # and over the variable that is read
        if var.dtype.kind in "biufc":
            written_by_map_tiles(again, folder, chunks)
        else:
            save_variable(again, folder, overwrite=True, chunks=chunks)
        check_on_disk(folder, var)
