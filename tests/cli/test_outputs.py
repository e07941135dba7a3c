"""Tests of outputs that cannot or must not be written: refused before any work; inputs are never replaced."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from tests.cli.commands import one_line_of, run

VOLUME = np.arange(6 * 8 * 8, dtype=np.uint16).reshape(6, 8, 8)


@pytest.fixture(autouse=True)
def _in_a_folder_with_inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("volume.npy", VOLUME)
    os.link("volume.npy", "linked.npy")
    Path("pointing.npy").symlink_to("volume.npy")
    Path("truth.csv").write_text("z,y,x\n1,1,1\n")
    Path("planes").mkdir()
    for number, plane in enumerate(VOLUME):
        tifffile.imwrite(f"planes/z{number}.tif", plane)


def contents() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path().rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "arguments",
    [
        ["blobs", "volume.npy", "-o", "volume.npy"],
        ["blobs", "volume.npy", "-o", "linked.npy"],
        ["blobs", "volume.npy", "-o", "b.csv", "--picture", "pointing.npy"],
        ["blobs", "volume.npy", "-o", "truth.csv", "--truth", "truth.csv"],
        ["blobs", "planes", "-o", "b.csv", "--mask", "volume.npy", "--picture", "volume.npy"],
        ["map", "volume.npy", "--function", "numpy:sqrt", "-o", "./volume.npy"],
        ["map", "planes/*.tif", "--function", "numpy:sqrt", "-o", "planes/z3.tif"],
        ["map", "planes", "--function", "numpy:sqrt", "-o", "planes/z3.tif"],
        ["convert", "volume.npy", "volume.npy"],
        ["convert", "pointing.npy", "linked.npy"],
    ],
)
def test_inputs_are_never_replaced(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    before = contents()
    one_line_of(capsys, run(*arguments, "--overwrite", "-q", "--executor", "serial"), "would replace the ")
    assert contents() == before


def test_nor_a_place_in_the_file_that_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File("file.h5", "w") as file:
        file["a"] = VOLUME
    before = contents()
    one_line_of(capsys, run("convert", "file.h5:/a", "file.h5:/b", "--overwrite"), "would replace the input")
    assert contents() == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["blobs", "volume.npy", "-o", "nowhere/b.csv"],
        ["blobs", "volume.npy", "-o", "b.csv", "--picture", "nowhere/b.png"],
        ["map", "volume.npy", "--function", "numpy:sqrt", "-o", "nowhere/out.npy"],
        ["convert", "volume.npy", "nowhere/out.npy"],
        ["convert", "volume.npy", "nowhere/out.h5:/a"],
        ["sample", "nuclei", "-o", "nowhere/out.tif"],
        ["sample", "synthetic", "--shape", "8", "8", "8", "-o", "out.npy", "--truth", "nowhere/t.csv"],
    ],
)
def test_folders_must_be_there(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    before = contents()
    one_line_of(capsys, run(*arguments), "nowhere", "there is no such folder")
    assert contents() == before


def test_folders_are_no_files(capsys: pytest.CaptureFixture[str]) -> None:
    Path("b.csv").mkdir()
    one_line_of(capsys, run("blobs", "volume.npy", "-o", "b.csv", "--overwrite"), "--output 'b.csv'", "is a folder")


def test_one_file_is_not_two_outputs(capsys: pytest.CaptureFixture[str]) -> None:
    arguments: list[Any] = ["sample", "synthetic", "--shape", 8, 8, 8, "-o", "out.npy", "--truth", "./out.npy"]
    one_line_of(capsys, run(*arguments), "--truth 'out.npy'", "is the output already")


def test_folders_must_be_writable(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: not (mode & os.W_OK and Path(path).name == "planes"))
    arguments = ["blobs", "volume.npy", "-o", "b.csv", "--picture", "planes/b.png"]
    one_line_of(capsys, run(*arguments), "--picture 'planes/b.png'", "not writable")


def test_a_table_may_lie_beside_the_planes_in_their_folder() -> None:
    arguments = [
        "blobs",
        "planes",
        "-o",
        "planes/b.csv",
        "-q",
        "--executor",
        "serial",
        "--min-sigma",
        "2",
        "--max-sigma",
        "3",
    ]
    assert run(*arguments) == 0
    assert run(*arguments, "--overwrite") == 0


def test_no_part_of_a_folder_that_is_an_image_is_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("convert", "volume.npy", "volume.zarr", "-q", "--executor", "serial") == 0
    capsys.readouterr()
    before = contents()
    for output in ("volume.zarr", "volume.zarr/zarr.json"):
        arguments = ["map", "volume.zarr", "--function", "numpy:sqrt", "-o", output, "--overwrite"]
        one_line_of(capsys, run(*arguments), "would replace the input")
    assert contents() == before


def test_names_that_look_like_patterns_are_names() -> None:
    np.save("volume1.npy", VOLUME)
    assert run("convert", "volume1.npy", "volume[1].npy", "-q", "--executor", "serial") == 0
    np.testing.assert_array_equal(np.load("volume[1].npy"), VOLUME)
