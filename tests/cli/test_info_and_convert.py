"""Tests of the subcommands ``tilecore info`` and ``tilecore convert``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from tests.cli.commands import run
from tests.faults.harness import places, tiles_in_journal
from tilecore import create_sink, open_source
from tilecore.testing.readers import volume

VOLUME = volume()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "in.ome.tif"
    options: dict[str, Any] = {"axes": "CZYX", "voxel_size_um": (2, 0.5, 0.5), "channel_names": ("dapi", "gfp")}
    with create_sink(path, (2, *VOLUME.shape), "u2", **options) as sink:
        sink[0], sink[1] = VOLUME, VOLUME[::-1]
    return path


def test_info(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("info", image, "--channel", "gfp") == 0
    text = capsys.readouterr().out
    for fact in ("12 x 41 x 53", "ZYX", "uint16", "2.0, 0.5, 0.5", "dapi, gfp", "one voxel"):
        assert fact in text
    assert run("info", image, "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["axes"], facts["shape"], facts["voxel_size_um"]) == ("CZYX", [2, 12, 41, 53], [2.0, 0.5, 0.5])
    assert facts["size_bytes"] == 2 * VOLUME.nbytes


def test_info_of_what_is_no_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "v.tif").write_bytes(b"II*\0\0\0")
    assert run("info", tmp_path / "v.tif") == 2
    assert run("info", tmp_path / "nothing.tif") == 2
    assert capsys.readouterr().err.count("tilecore info: error:") == 2


SERIAL = ("--executor", "serial", "-q")


@pytest.mark.parametrize("name", ["o.npy", "o.tif", "o.zarr", "o.ome.zarr", "o.h5", "p.h5:/images/a"])
@pytest.mark.parametrize("kind", ["tiff", "zarr", "planes", "hdf5", "raw"])
def test_every_kind_into_every_kind(tmp_path: Path, kind: str, name: str) -> None:
    options: list[Any] = []
    source = tmp_path / "in"
    if kind == "tiff":
        source = tmp_path / "in.tif"
        tifffile.imwrite(source, VOLUME, metadata={"axes": "ZYX"}, compression="zlib")
    elif kind == "zarr":
        source = tmp_path / "in.zarr"
        zarr.create_array(source, data=VOLUME, chunks=(5, 16, 16))
    elif kind == "planes":
        source.mkdir()
        for z, plane in enumerate(VOLUME):
            tifffile.imwrite(source / f"z{z}.tif", plane)
    elif kind == "hdf5":
        source = tmp_path / "in.h5"
        with create_sink(source, VOLUME.shape, "u2") as sink:
            sink[...] = VOLUME
    else:
        source.write_bytes(VOLUME.tobytes())
        options = ["--shape", "12,41,53", "--dtype", "uint16"]
    assert run("convert", source, tmp_path / name, *options, *SERIAL) == 0
    np.testing.assert_array_equal(open_source(tmp_path / name)[...], VOLUME)


def test_options(image: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.ome.zarr"
    layout = ("--chunks", "4,16,16", "--shards", "4,32,32", "--codec", "blosc", "--no-pyramid")
    assert run("convert", image, out, "--channel", 1, "--crop", "2:10,:,3:50", *layout, *SERIAL) == 0
    source = open_source(out)
    np.testing.assert_array_equal(source[...], VOLUME[::-1][2:10, :, 3:50])
    assert (source.chunks, source.write_units, source.info.codec) == ((4, 16, 16), (4, 32, 32), "blosc")
    assert source.voxel_size_um == (2.0, 0.5, 0.5)
    assert run("convert", image, out, *SERIAL) == 2  # it is there
    assert run("convert", image, out, "--overwrite", "--ome-zarr-version", "0.4", *SERIAL) == 0
    assert open_source(out).info.kind == "OME-Zarr 0.4"


@pytest.mark.parametrize("crop", ["1:2,3", "0:99,:,:", "5:5,:,:", "a:b,:,:", ":,:,:,:,:"])
def test_wrong_crops(image: Path, tmp_path: Path, crop: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("convert", image, tmp_path / "o.npy", "--crop", crop, *SERIAL) == 2
    assert "--crop" in capsys.readouterr().err


DYING = """
import os, signal, sys
from tilecore.cli.main import main
from tilecore.engine.journal import Journal

record, done = Journal.record, []

def record_and_die(journal, number, checksums):
    record(journal, number, checksums)
    done.append(number)
    if len(done) == 20:
        os.kill(os.getpid(), signal.SIGKILL)

Journal.record = record_and_die
main(sys.argv[1:])
"""


def test_a_conversion_that_was_killed_goes_on(tmp_path: Path) -> None:
    data = np.random.default_rng(0).integers(0, 60_000, (64, 512, 512)).astype(np.uint16)
    np.save(tmp_path / "in.npy", data)
    out = tmp_path / "o.ome.zarr"
    command = ["convert", str(tmp_path / "in.npy"), str(out), "-q", "-j", "2"]
    command += ["--chunks", "16,64,64", "--tile-shape", "16", "64", "64"]
    killed = subprocess.run([sys.executable, "-c", DYING, *command])
    assert killed.returncode == -signal.SIGKILL
    assert tiles_in_journal(tmp_path / "o.ome.zarr.journal") == 20
    assert not out.exists()
    partial = places(out)[0] / "o.ome.zarr"
    written = {path: path.stat().st_mtime_ns for path in (partial / "0" / "c").rglob("*[0-9]") if path.is_file()}
    assert run(*command, "--resume") == 0
    np.testing.assert_array_equal(open_source(out)[...], data)
    assert open_source(out).info.levels == ((64, 512, 512), (32, 256, 256))
    kept = [path for path, at in written.items() if (out / path.relative_to(partial)).stat().st_mtime_ns == at]
    assert len(kept) >= 20
    assert sorted(os.listdir(tmp_path)) == ["in.npy", "o.ome.zarr"]
    assert run(*command, "--resume") == 0  # is complete, and known to be: given at once
    assert [path for path, at in written.items() if (out / path.relative_to(partial)).stat().st_mtime_ns == at] == kept
    assert run(*command) == run(*command, "--resume", "--crop", "1:,:,:") == 2


@pytest.mark.parametrize("kind", ["a plane", "a stack", "a folder"])
def test_convert_of_colours(tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    colours = np.random.default_rng(1).integers(0, 255, (4, 20, 30, 3)).astype(np.uint8)
    path = tmp_path / ("in" if kind == "a folder" else "in.tif")
    if kind == "a folder":
        path.mkdir()
        for z, plane in enumerate(colours):
            tifffile.imwrite(path / f"z{z}.tif", plane, photometric="rgb", compression="zlib")
    else:
        colours = colours[0] if kind == "a plane" else colours
        tifffile.imwrite(path, colours, photometric="rgb")
    assert run("convert", path, tmp_path / "out.ome.tif") == 0
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out.ome.tif"), colours)
    capsys.readouterr()
    assert run("convert", path, tmp_path / "all.ome.zarr") == 0
    assert "YXC, are written as C" in capsys.readouterr().err
    np.testing.assert_array_equal(open_source(tmp_path / "all.ome.zarr"), np.moveaxis(colours, -1, 0))
    assert run("convert", path, tmp_path / "out.ome.zarr", "--channel", 0) == 0
    np.testing.assert_array_equal(open_source(tmp_path / "out.ome.zarr"), colours[..., 0])


FRAMES = np.arange(2 * 3 * 5 * 6 * 7, dtype="u2").reshape(2, 3, 5, 6, 7)  # T, C, Z, Y, X


def stored(path: Path, axes: str, *, suffix: str = "zarr", **options: Any) -> Path:
    """Write `FRAMES`, or its first volumes, with their axes in another order."""
    part = FRAMES[tuple([slice(None) if letter in axes else 0 for letter in "TCZYX"])]
    letters = [letter for letter in "TCZYX" if letter in axes]
    voxels = part.transpose([letters.index(letter) for letter in axes])
    with create_sink(path / f"in.{suffix}", voxels.shape, "u2", axes=axes, **options) as sink:
        sink[...] = voxels
    return path / f"in.{suffix}"


@pytest.mark.parametrize("axes", ["TCZYX", "TZCYX", "ZYXC", "XYZ", "CYX", "XTYCZ"])
def test_a_crop_is_along_z_y_x_wherever_they_are(tmp_path: Path, axes: str) -> None:
    bounds = {"Z": (1, 4), "Y": (2, 5), "X": (0, 6)}
    given = [letter for letter in "ZYX" if letter in axes]
    crop = ",".join(f"{bounds[letter][0] or ''}:{bounds[letter][1]}" for letter in given)
    source = stored(tmp_path, axes)
    assert run("convert", source, tmp_path / "o.npy", "--crop", crop, *SERIAL) == 0
    expected = open_source(source)[tuple([slice(*bounds.get(letter, (None,))) for letter in axes])]
    np.testing.assert_array_equal(np.load(tmp_path / "o.npy"), expected)


def test_a_crop_of_all_axes_is_in_the_order_of_the_file(tmp_path: Path) -> None:
    source = stored(tmp_path, "TZCYX")
    assert run("convert", source, tmp_path / "o.npy", "--crop", "1:2,:,0:2,3:,:", *SERIAL) == 0
    np.testing.assert_array_equal(np.load(tmp_path / "o.npy"), open_source(source)[1:2, :, 0:2, 3:, :])


@pytest.mark.parametrize("name", ["o.ome.zarr", "o.tif", "o.zarr", "o.h5"])
@pytest.mark.parametrize("axes", ["TZCYX", "ZCYX", "XYZ", "ZYXC", "XTYCZ"])
def test_axes_are_moved_where_the_format_needs_it(
    tmp_path: Path, axes: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source = stored(tmp_path, axes, voxel_size_um=(3, 2, 1))
    layout = ("--chunks", "4,3,2") if "zarr" in name else ()
    assert run("convert", source, tmp_path / name, *layout, "--executor", "processes", "-j", 2, "-q") == 0
    told = capsys.readouterr().err
    found = open_source(tmp_path / name)
    expected = open_source(source)[...].transpose([axes.index(letter) for letter in found.axes])
    np.testing.assert_array_equal(found[...], expected)
    assert found.voxel_size_um == (3, 2, 1)
    assert (f"axes {axes}, are written as {found.axes}" in told) == (axes != found.axes)
    if name == "o.ome.zarr":
        assert found.axes == "".join(letter for letter in "TCZYX" if letter in axes)
        assert dict(zip(found.axes, found.chunks or (), strict=True)) == {
            letter: {"Z": 4, "Y": 3, "X": 2}.get(letter, 1) for letter in axes
        }
    elif name != "o.tif":
        assert found.axes == axes


def test_hyperstacks_of_imagej_into_ome_zarr(tmp_path: Path) -> None:
    hyperstack = FRAMES.swapaxes(1, 2).astype("u1")  # T, Z, C, Y, X
    tifffile.imwrite(tmp_path / "in.tif", hyperstack, imagej=True, metadata={"axes": "TZCYX"})
    assert run("convert", tmp_path / "in.tif", tmp_path / "o.ome.zarr", *SERIAL) == 0
    np.testing.assert_array_equal(open_source(tmp_path / "o.ome.zarr")[...], FRAMES.astype("u1"))


def test_a_guess_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frames = np.moveaxis(FRAMES[0], 0, -1)  # Z, Y, X, C
    np.save(tmp_path / "in.npy", frames)
    assert run("info", tmp_path / "in.npy") == 0
    assert "ZYXC (a guess" in capsys.readouterr().out
    assert run("info", tmp_path / "in.npy", "--json", "--axes", "ZYXC") == 0
    assert json.loads(capsys.readouterr().out)["axes_are_guessed"] is False
    assert run("convert", tmp_path / "in.npy", tmp_path / "o.ome.zarr", *SERIAL) == 0
    assert "taken for ZYXC, are written as CZYX" in capsys.readouterr().err
    np.testing.assert_array_equal(open_source(tmp_path / "o.ome.zarr")[...], FRAMES[0])
    assert run("convert", tmp_path / "in.npy", tmp_path / "o.zarr", *SERIAL) == 0
    assert open_source(tmp_path / "o.zarr").info.axes_are_guessed  # a guess does not become a fact
