"""Contract tests for all sources; another program writes each file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any
from unittest import mock

import numcodecs
import numpy as np
import pytest
import tifffile
import zarr

from tests.formats.imaris import write_imaris
from tilecore import (
    Box,
    MissingDependencyError,
    ParameterError,
    ParameterTypeError,
    collect_tiles,
    create_sink,
    machine,
    map_tiles,
    open_source,
    spreading,
)
from tilecore.testing import ReaderContract
from tilecore.testing.readers import volume

UM = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, "PhysicalSizeZ": 2.0}


class TestNpy(ReaderContract):
    def write(self, folder: Path, volume: np.ndarray) -> tuple[Path, dict[str, Any]]:
        np.save(folder / "v.npy", volume)
        return folder / "v.npy", {}


class TestFortranNpy(ReaderContract):
    def write(self, folder: Path, volume: np.ndarray) -> tuple[Path, dict[str, Any]]:
        np.save(folder / "v.npy", np.asfortranarray(volume))
        return folder / "v.npy", {}


class TestRaw(ReaderContract):
    def write(self, folder: Path, volume: np.ndarray) -> tuple[Path, dict[str, Any]]:
        (folder / "v.raw").write_bytes(b"header" + volume.tobytes())
        return folder / "v.raw", {"shape": volume.shape, "dtype": "uint16", "offset": 6}


class TestContiguousTiff(ReaderContract):
    def write(self, folder: Path, volume: np.ndarray) -> tuple[Path, dict[str, Any]]:
        tifffile.imwrite(folder / "v.tif", volume, metadata={"axes": "ZYX"})
        return folder / "v.tif", {}


class TestImageJHyperstack(ReaderContract):
    voxel_size_um = (2.0, 0.5, 0.5)

    def write(self, folder: Path, volume: np.ndarray) -> tuple[Path, dict[str, Any]]:
        metadata = {"axes": "ZYX", "spacing": 2.0, "unit": "um"}
        tifffile.imwrite(folder / "v.tif", volume, imagej=True, resolution=(2, 2), metadata=metadata)
        return folder / "v.tif", {}


class TestTiledTiff(ReaderContract):
    def write(self, folder: Path, volume: np.ndarray) -> tuple[Path, dict[str, Any]]:
        options = {"tile": (16, 32), "compression": "zlib", "predictor": True}
        tifffile.imwrite(folder / "v.tif", volume, metadata={"axes": "ZYX"}, **options)
        return folder / "v.tif", {}


class TestTiffOfCompressedStrips(ReaderContract):
    def write(self, folder: Path, volume: np.ndarray) -> tuple[Path, dict[str, Any]]:
        options = {"rowsperstrip": 7, "compression": "zlib", "byteorder": ">", "bigtiff": True}
        tifffile.imwrite(folder / "v.tif", volume, metadata={"axes": "ZYX"}, **options)
        return folder / "v.tif", {}


class TestPyramidalOmeTiff(ReaderContract):
    voxel_size_um = (2.0, 0.5, 0.5)

    def write(self, folder: Path, volume: np.ndarray) -> tuple[Path, dict[str, Any]]:
        options: dict[str, Any] = {"tile": (16, 16), "compression": "zlib"}
        with tifffile.TiffWriter(folder / "v.ome.tif", ome=True) as writer:
            writer.write(volume, subifds=1, metadata={"axes": "ZYX", **UM}, **options)
            writer.write(volume[:, ::2, ::2], subfiletype=1, **options)
        return folder / "v.ome.tif", {}


class TestOmeTiffInSeveralFiles(ReaderContract):
    voxel_size_um = (2.0, 0.5, 0.5)

    def write(self, folder: Path, volume: np.ndarray) -> tuple[Path, dict[str, Any]]:
        planes = "".join(
            f'<TiffData FirstZ="{z}" IFD="0" PlaneCount="1">'
            f'<UUID FileName="z{z}.ome.tif">urn:uuid:{z:08d}-0000-0000-0000-000000000000</UUID></TiffData>'
            for z in range(len(volume))
        )
        sizes = f'SizeX="{volume.shape[2]}" SizeY="{volume.shape[1]}" SizeZ="{len(volume)}" SizeC="1" SizeT="1"'
        physical = " ".join(f'{name}="{size}"' for name, size in UM.items())
        for z, plane in enumerate(volume):
            xml = (
                '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
                f'UUID="urn:uuid:{z:08d}-0000-0000-0000-000000000000"><Image ID="Image:0">'
                f'<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" {sizes} {physical}>'
                f'<Channel ID="Channel:0:0" SamplesPerPixel="1"/>{planes}</Pixels></Image></OME>'
            )
            tifffile.imwrite(folder / f"z{z}.ome.tif", plane, description=xml, metadata=None, compression="zlib")
        return folder / "z0.ome.tif", {}


class TestFolderOfPlanes(ReaderContract):
    def write(self, folder: Path, volume: np.ndarray) -> tuple[Path, dict[str, Any]]:
        for z, plane in enumerate(volume, 3):
            tifffile.imwrite(folder / f"stack_{z}.tif", plane, compression="zlib" if z % 2 else None)
        (folder / "notes.txt").write_text("not a plane")
        return folder, {}

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match="no TIFF file"):
            open_source(tmp_path)


class TestGlobOfPlanes(ReaderContract):
    def write(self, folder: Path, volume: np.ndarray) -> tuple[str, dict[str, Any]]:
        for z, plane in enumerate(volume):
            tifffile.imwrite(folder / f"a_z{z:03d}.tif", plane)
            tifffile.imwrite(folder / f"b_z{z:03d}.tif", 0 * plane)
        return str(folder / "a_*.tif"), {}


class TestZarr3(ReaderContract):
    def write(self, folder: Path, volume: np.ndarray) -> tuple[Path, dict[str, Any]]:
        zarr.create_array(folder / "v.zarr", data=volume, chunks=(5, 16, 16))
        return folder / "v.zarr", {}


class TestShardedZarr(ReaderContract):
    def write(self, folder: Path, volume: np.ndarray) -> tuple[Path, dict[str, Any]]:
        blosc = zarr.codecs.BloscCodec(cname="lz4")
        zarr.create_array(folder / "v.zarr", data=volume, chunks=(4, 8, 16), shards=(8, 16, 32), compressors=blosc)
        return folder / "v.zarr", {}


class TestZarrWithATransposition(ReaderContract):
    """Array whose codec only zarr itself knows."""

    def write(self, folder: Path, volume: np.ndarray) -> tuple[Path, dict[str, Any]]:
        transpose = zarr.codecs.TransposeCodec(order=(2, 0, 1))
        zarr.create_array(folder / "v.zarr", data=volume, chunks=(5, 16, 16), filters=[transpose])
        return folder / "v.zarr", {}


class TestZarr2(ReaderContract):
    def write(self, folder: Path, volume: np.ndarray) -> tuple[Path, dict[str, Any]]:
        array = zarr.create_array(
            folder / "v.zarr", shape=volume.shape, dtype="<u2", chunks=(5, 16, 16), zarr_format=2, order="F"
        )
        array[...] = volume
        return folder / "v.zarr", {}


class TestBigEndianZarr2WithAFilter(ReaderContract):
    """Array that only zarr itself can decode, in the byte order of the file."""

    def write(self, folder: Path, volume: np.ndarray) -> tuple[Path, dict[str, Any]]:
        options: dict[str, Any] = {"dtype": ">u2", "chunks": (5, 16, 16), "zarr_format": 2}
        array = zarr.create_array(
            folder / "v.zarr", shape=volume.shape, filters=[numcodecs.Delta(dtype=">u2")], **options
        )
        array[...] = volume
        return folder / "v.zarr", {}


class TestZarrWithAFilterInAZip(TestBigEndianZarr2WithAFilter):
    def write(self, folder: Path, volume: np.ndarray) -> tuple[Path, dict[str, Any]]:
        super().write(folder, volume)
        shutil.make_archive(str(folder / "v"), "zip", folder, "v.zarr")
        return folder / "v.zip", {}


class TestZarrInAZip(ReaderContract):
    def write(self, folder: Path, volume: np.ndarray) -> tuple[Path, dict[str, Any]]:
        zarr.create_array(folder / "v.zarr", data=volume, chunks=(4, 8, 16), shards=(8, 16, 32))
        shutil.make_archive(str(folder / "v.zarr"), "zip", folder / "v.zarr")
        return folder / "v.zarr.zip", {}


class TestOmeZarr(ReaderContract):
    voxel_size_um = (2.0, 0.5, 0.25)

    def write(self, folder: Path, volume: np.ndarray) -> tuple[Path, dict[str, Any]]:
        write_ome_zarr(folder / "v.ome.zarr", volume)
        return folder / "v.ome.zarr", {}


class TestOmeZarr04(ReaderContract):
    voxel_size_um = (2.0, 0.5, 0.25)

    def write(self, folder: Path, volume: np.ndarray) -> tuple[Path, dict[str, Any]]:
        write_ome_zarr(folder / "v.zarr", volume, zarr_format=2)
        return folder / "v.zarr", {}


class TestHdf5(ReaderContract):
    voxel_size_um = (2.0, 0.5, 0.5)

    def write(self, folder: Path, volume: np.ndarray) -> tuple[Path | str, dict[str, Any]]:
        h5py = pytest.importorskip("h5py", reason="HDF5 is optional")
        with h5py.File(folder / "v.h5", "w") as file:
            dataset = file.create_dataset("raw/t0", data=volume, chunks=(5, 16, 16), compression="gzip")
            dataset.attrs["element_size_um"] = [2.0, 0.5, 0.5]
            file["other"] = volume[0]
        return f"{folder / 'v.h5'}:/raw/t0", {}


class TestImaris(ReaderContract):
    voxel_size_um = (2.0, 0.5, 0.5)

    def write(self, folder: Path, volume: np.ndarray) -> tuple[Path, dict[str, Any]]:
        write_imaris(folder / "v.ims", volume[None, None], voxel_size_um=(2.0, 0.5, 0.5))
        return folder / "v.ims", {"channel": 0, "time": 0}


class TestN5(ReaderContract):
    voxel_size_um = (2.0, 0.5, 0.5)
    start_methods = ("forkserver",)  # the threads of tensorstore, which writes the file, forbid a fork

    def write(self, folder: Path, volume: np.ndarray) -> tuple[Path, dict[str, Any]]:
        tensorstore = pytest.importorskip("tensorstore", reason="only tensorstore writes N5")
        metadata = {
            "dimensions": volume.shape[::-1],
            "blockSize": [16, 16, 5],
            "dataType": "uint16",
            "compression": {"type": "gzip"},
        }
        kvstore = {"driver": "file", "path": str(folder / "v.n5" / "s0")}
        store = tensorstore.open({"driver": "n5", "kvstore": kvstore, "metadata": metadata, "create": True}).result()
        store.write(volume.T).result()
        (folder / "v.n5" / "attributes.json").write_text(
            json.dumps({"pixelResolution": {"dimensions": [0.5, 0.5, 2.0], "unit": "um"}})
        )
        return folder / "v.n5", {}


KINDS = [each for each in globals().values() if isinstance(each, type) and issubclass(each, ReaderContract)][1:]
READ_BY_ZARR_ITSELF = (TestZarrWithATransposition, TestBigEndianZarr2WithAFilter, TestZarrWithAFilterInAZip)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_chunks_are_decoded_on_several_threads(
    kind: type[ReaderContract], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also little voxels here, which otherwise are not worth it."""
    monkeypatch.setattr(spreading, "_BYTES_PER_THREAD", 1)
    monkeypatch.setitem(machine._limits, "threads", 4)
    ask = mock.Mock(side_effect=spreading._helpers.ask)
    monkeypatch.setattr(spreading._helpers, "ask", ask)
    path, options = kind().write(tmp_path, volume())
    boxes = [Box.of_shape((12, 41, 53)), Box((1, 3, 5), (11, 38, 47)), Box((5, 0, 0), (6, 41, 53))]
    with open_source(path, **options) as source:
        for box in boxes:
            np.testing.assert_array_equal(source[box.slices], volume()[box.slices])
    is_left_to_library = source.info.kind in ("hdf5", "imaris") or kind in READ_BY_ZARR_ITSELF
    assert ask.called == (source.mapped is None and not is_left_to_library)


def write_ome_zarr(path: Path, volume: np.ndarray, zarr_format: Any = 3) -> None:
    axes = [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "zyx"]
    scales = [[2.0, 0.5, 0.25], [2.0, 1.0, 0.5]]
    datasets = [
        {"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": scale}]}
        for level, scale in enumerate(scales)
    ]
    images: dict[str, Any] = {"multiscales": [{"axes": axes, "datasets": datasets, "version": "0.4"}]}
    attributes = images if zarr_format == 2 else {"ome": {"version": "0.5", **images}}
    group = zarr.create_group(path, zarr_format=zarr_format, attributes=attributes)
    for level, data in enumerate([volume, volume[:, ::2, ::2]]):
        encoding = {"chunk_key_encoding": {"name": "v2", "separator": "/"}} if zarr_format == 2 else {}
        array = group.create_array(str(level), shape=data.shape, dtype=data.dtype, chunks=(5, 16, 16), **encoding)
        array[...] = data


def first_voxels(block: np.ndarray, sources: list[Any]) -> list[int]:
    return [int(source[0, 0, 0]) for source in sources]


def test_sources_travel_to_workers_that_do_not_share_memory(tmp_path: Path) -> None:
    sources = []
    for kind in (TestNpy, TestTiledTiff, TestFolderOfPlanes, TestShardedZarr, TestOmeZarr, TestZarrInAZip):
        folder = tmp_path / kind.__name__
        folder.mkdir()
        path, options = kind().write(folder, volume())
        sources.append(open_source(path, **options))
    results = collect_tiles(
        first_voxels, np.zeros(4), tile_shape=1, kwargs={"sources": sources}, workers=2, start_method="forkserver"
    )
    assert results == [[int(volume()[0, 0, 0])] * len(sources)] * 4


def test_verbs_do_not_load_a_source_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Verbs read a source by region, although numpy could convert it to an array."""
    path, _ = TestOmeZarr().write(tmp_path, volume())
    source = open_source(path)
    monkeypatch.setattr(type(source), "__array__", None)
    for executor in ("serial", "threads", "processes"):
        sums = collect_tiles(lambda a, b: int(a.sum() + b.sum()), [source, source], executor=executor, workers=2)
        assert sum(sums) == 2 * volume().sum()
        result = map_tiles(lambda block: block, source, executor=executor, workers=2)
        np.testing.assert_array_equal(result, volume())


def test_a_number_has_no_length(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.float32(3))
    source = open_source(tmp_path / "v.npy")
    assert (float(np.asarray(source)), source.size) == (3.0, 1)
    with pytest.raises(ParameterTypeError, match="no length"):
        len(source)


def test_levels_of_a_pyramid(tmp_path: Path) -> None:
    for kind in (TestPyramidalOmeTiff, TestOmeZarr, TestOmeZarr04):
        folder = tmp_path / kind.__name__
        folder.mkdir()
        path, _ = kind().write(folder, volume())
        source = open_source(path, level=1)
        np.testing.assert_array_equal(source[...], volume()[:, ::2, ::2])
        assert source.info.levels == ((12, 41, 53), (12, 21, 27))
        assert source.voxel_size_um is not None
        assert source.voxel_size_um[1] == pytest.approx(1.0, rel=0.05)
        with pytest.raises(ParameterError, match="level=2"):
            open_source(path, level=2)


def test_an_option_that_the_kind_has_not(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", volume())
    with pytest.raises(ParameterError, match="level: npy files .* have no such option"):
        open_source(tmp_path / "v.npy", level=1)
    with pytest.raises(ParameterError, match="axes='ZY'"):
        open_source(tmp_path / "v.npy", axes="ZY")
    with pytest.raises(ParameterError, match="missing_chunks"):
        open_source(tmp_path / "v.npy", missing_chunks="zero")  # type: ignore[arg-type]


@pytest.mark.parametrize("axes", ["ABC", "ZYQ", "ZYY", "Z Y", "", "ZCYX"])
def test_axes_that_are_not_known(tmp_path: Path, axes: str) -> None:
    np.save(tmp_path / "v.npy", volume())
    with pytest.raises(ParameterError, match="axes="):
        open_source(tmp_path / "v.npy", axes=axes)
    assert open_source(tmp_path / "v.npy", axes="tyx").axes == "TYX"


def test_axes_that_the_file_has(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "v.tif", volume(), metadata={"axes": "AYX"})
    assert open_source(tmp_path / "v.tif").axes == open_source(tmp_path / "v.tif", axes="AYX").axes == "AYX"
    np.save(tmp_path / "v.npy", np.zeros((1,) * 6))
    assert open_source(tmp_path / "v.npy", axes="MTCZYX").axes == "MTCZYX"


@pytest.mark.parametrize("path", [None, np.zeros(3), 7.5, ["v.npy"]], ids=str)
def test_what_is_no_path(path: Any) -> None:
    with pytest.raises(ParameterTypeError, match="path="):
        open_source(path)
    with pytest.raises(ParameterTypeError, match="path="):
        create_sink(path, (2, 3), "u1")


def test_an_empty_path_is_not_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("z0.tif", volume()[0])
    assert open_source(".").shape == (1, 41, 53)
    for verb in (open_source, lambda path: create_sink(path, (2, 3), "u1"), lambda path: collect_tiles(np.sum, path)):
        with pytest.raises(ParameterError, match="path=''"):
            verb("")


def test_hdf5_without_h5py_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "h5py", None)
    (tmp_path / "v.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(MissingDependencyError, match=r"tilecore\[hdf5\]"):
        open_source(tmp_path / "v.h5")
