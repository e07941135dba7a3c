"""Tests of the recipes for microscopes' own files, where the packages that read and write them are installed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.runs import RUNS
from tilecore import detect_blobs, map_tiles


@pytest.mark.parametrize("name", ["serial", "forkserver"])
def test_czi_by_bioio(name: str, tmp_path: Path) -> None:
    """The recipe of docs/howto/arrays_of_other_libraries.rst, for a file that Zeiss's own library has written."""
    bioio, czi = pytest.importorskip("bioio"), pytest.importorskip("pylibCZIrw.czi")
    pytest.importorskip("bioio_czi")
    volume = np.random.default_rng(0).integers(0, 4000, (2, 6, 40, 50)).astype(np.uint16)
    with czi.create_czi(str(tmp_path / "cells.czi")) as file:
        for channel, stack in enumerate(volume):
            for z, plane in enumerate(stack):
                file.write(plane[..., np.newaxis], plane={"C": channel, "Z": z, "T": 0})
        file.write_metadata("cells", scale_x=0.5e-6, scale_y=0.5e-6, scale_z=2e-6)
    image = bioio.BioImage(tmp_path / "cells.czi", chunk_dims=["Y", "X"])
    image.set_scene(image.scenes[0])
    green = image.get_image_dask_data("ZYX", T=0, C=1)
    assert green.chunks == ((1,) * 6, (40,), (50,))
    size = image.physical_pixel_sizes
    options = {"max_sigma": 2, "num_sigma": 2, "threshold": 1e-3, "voxel_size_um": (size.Z, size.Y, size.X)}
    np.testing.assert_array_equal(map_tiles(np.copy, green, tile_shape=(3, 40, 25), **RUNS[name]), volume[1])
    found, expected = (detect_blobs(each, **options, **RUNS[name]) for each in (green, volume[1]))
    assert found.voxel_size_um == pytest.approx((2, 0.5, 0.5)) and len(found) > 0
    np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))
