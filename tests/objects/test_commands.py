"""The command line with URLs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.cli.commands import one_line_of, run
from tests.objects.test_reading import upload, write
from tilecore import open_source
from tilecore.objects.store import ObjectStore

QUIET = ("--quiet", "--executor", "threads", "--workers", 2)


@pytest.fixture
def volume() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 60000, (10, 20, 30), dtype=np.uint16)


def test_commands_read_a_bucket(
    bucket: str, tmp_path: Path, volume: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    url = upload(write(tmp_path, volume, chunks=(5, 8, 16)), f"{bucket}/v.ome.zarr")
    assert run("info", url, "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["path"], facts["shape"], facts["chunks"]) == (url, [10, 20, 30], [5, 8, 16])
    assert run("plan", url) == 0
    assert "volume     10 x 20 x 30 voxels, uint16" in capsys.readouterr().out
    assert run("convert", url, tmp_path / "copy.npy", *QUIET) == 0
    np.testing.assert_array_equal(np.load(tmp_path / "copy.npy"), volume)
    assert run("map", url, "--function", "numpy:negative", "-o", tmp_path / "not.zarr", *QUIET) == 0
    np.testing.assert_array_equal(open_source(tmp_path / "not.zarr"), np.negative(volume))
    assert run("blobs", url, "-o", tmp_path / "blobs.csv", "--min-sigma", 2, "--max-sigma", 3, *QUIET) == 0
    assert (tmp_path / "blobs.csv").exists()


def test_a_bucket_that_does_not_exist_is_told_in_one_line(
    bucket: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run("convert", "s3://no-such-bucket/v.zarr", tmp_path / "v.npy", *QUIET)
    one_line_of(capsys, code, "no-such-bucket", "there is no bucket")
    assert not any(tmp_path.iterdir())


def test_commands_write_into_a_bucket(
    bucket: str, tmp_path: Path, volume: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, volume, chunks=(5, 8, 16))
    assert run("convert", path, f"{bucket}/copy.ome.zarr", *QUIET) == 0
    assert run("convert", path, f"{bucket}/other.zarr", "--chunks", "10,5,5", *QUIET) == 0
    assert run("map", path, "--function", "numpy:negative", "-o", f"{bucket}/not.zarr", *QUIET) == 0
    output = capsys.readouterr()
    assert output.out.split() == [f"{bucket}/copy.ome.zarr", f"{bucket}/other.zarr", f"{bucket}/not.zarr"]
    for name in ("copy.ome.zarr", "other.zarr"):
        np.testing.assert_array_equal(open_source(f"{bucket}/{name}"), volume)
    np.testing.assert_array_equal(open_source(f"{bucket}/not.zarr"), np.negative(volume))
    assert sorted({key.partition("/")[0] for key in ObjectStore(bucket).all_keys()}) == [
        "copy.ome.zarr",
        "not.zarr",
        "other.zarr",
    ]
    code = run("convert", path, f"{bucket}/copy.ome.zarr", *QUIET)
    one_line_of(capsys, code, f"{bucket}/copy.ome.zarr exists already", "--overwrite")
    assert run("convert", path, f"{bucket}/copy.ome.zarr", "--overwrite", *QUIET) == 0
    capsys.readouterr()
    code = run("convert", f"{bucket}/copy.ome.zarr", f"{bucket}/copy.ome.zarr", "--overwrite", *QUIET)
    one_line_of(capsys, code, "would replace the input")


def test_tables_are_not_written_at_urls(bucket: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, np.zeros((4, 5, 6), "u1"))
    code = run("blobs", path, "-o", f"{bucket}/blobs.csv", "--min-sigma", 2, "--max-sigma", 3, *QUIET)
    one_line_of(capsys, code, f"{bucket}/blobs.csv", "write a file")
