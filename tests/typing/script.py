"""A user's script: mypy reads what each call gives, and a test runs it, so that the types are true."""

from __future__ import annotations

from typing import Any, assert_type

import numpy as np
import numpy.typing as npt
import xarray

import tilecore
from tilecore.formats.file_sink import FileSink
from tilecore.formats.source import FileSource


def smooth(block: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    return np.sqrt(block.astype(np.float32))


def count(block: npt.NDArray[Any]) -> int:
    return int(np.count_nonzero(block))


def both(block: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    return block, block * 2


def add(total: int, found: int) -> int:
    return total + found


def voxels_of(array: tilecore.ReadableArray) -> int:
    return int(np.prod(array.shape))


VOLUME = np.arange(4 * 6 * 8, dtype=np.uint16).reshape(4, 6, 8)


def script() -> None:
    """Run the script, in an empty folder."""
    volume = VOLUME
    source_of_counts: tilecore.SourceLike = volume

    # Arrays that are made.
    smoothed = tilecore.map_tiles(smooth, volume, tile_shape=4, halo=(1, 2, 2), executor="serial")
    assert_type(smoothed, npt.NDArray[Any])
    assert isinstance(smoothed, np.ndarray)

    floats = tilecore.map_tiles(smooth, volume, dtype=np.float64, tile_shape=4, executor="serial")
    assert_type(floats, npt.NDArray[np.float64])
    assert isinstance(floats, np.ndarray) and floats.dtype == np.float64

    pair = tilecore.map_tiles(both, volume, dtype=["uint16", "uint32"], tile_shape=4, executor="serial")
    assert_type(pair, tuple[npt.NDArray[Any], ...])
    assert isinstance(pair, tuple) and all(isinstance(each, np.ndarray) for each in pair)

    # Labelled arrays.
    movie = xarray.DataArray(volume, dims=("frame", "height", "width"))
    labelled = tilecore.map_tiles(smooth, movie, tile_shape={"frame": 2}, halo={"height": 1}, executor="serial")
    assert_type(labelled, xarray.DataArray)
    assert isinstance(labelled, xarray.DataArray)

    bare = tilecore.map_tiles(smooth, movie.variable, tile_shape={"frame": 2}, executor="serial")
    assert_type(bare, xarray.Variable)
    assert isinstance(bare, xarray.Variable)

    variable = tilecore.map_tiles(smooth, movie, out=tilecore.DatasetVariable(".", "movie"), executor="serial")
    assert_type(variable, xarray.DataArray)
    assert isinstance(variable, xarray.DataArray) and variable.name == "movie"

    # Arrays that are given.
    whole = np.zeros(volume.shape, np.float32)
    filled = tilecore.map_tiles(smooth, volume, out=whole, tile_shape=4, executor="serial")
    assert_type(filled, np.ndarray[tuple[int, int, int], np.dtype[np.float32]])
    assert filled is whole

    several = tilecore.map_tiles(
        both, volume, out=[np.zeros_like(volume), "second.npy"], tile_shape=4, executor="serial"
    )
    assert_type(several, tuple[Any, ...])
    assert isinstance(several, tuple)

    shared = tilecore.SharedArray(volume.shape, "float32")
    assert_type(shared[...], npt.NDArray[Any])
    assert_type(shared[0, 0, 0], Any)
    seen = tilecore.map_tiles(smooth, volume, out=shared, tile_shape=4, executor="serial")
    assert_type(seen, npt.NDArray[Any])
    assert isinstance(seen, np.ndarray)

    memory = tilecore.SharedMemory(volume.shape, np.float32)
    seen = tilecore.map_tiles(smooth, volume, out=memory, tile_shape=4, executor="serial")
    assert_type(seen, npt.NDArray[Any])
    assert isinstance(seen, np.ndarray)

    # Files.
    named = tilecore.map_tiles(smooth, volume, out="smooth.npy", tile_shape=4, executor="serial")
    assert_type(named, npt.NDArray[Any] | FileSource)
    assert isinstance(named, np.ndarray)

    stored = tilecore.map_tiles(smooth, volume, out="smooth.zarr", tile_shape=(4, 6, 8), executor="serial")
    assert_type(stored, npt.NDArray[Any] | FileSource)
    assert isinstance(stored, FileSource)

    with tilecore.create_sink("copy.npy", volume.shape, volume.dtype) as sink:
        assert_type(sink, FileSink)
        written = tilecore.map_tiles(lambda block: block, volume, out=sink, tile_shape=4, executor="serial")
        assert_type(written, FileSink)
        assert written is sink

    with tilecore.open_source("copy.npy") as source:
        assert_type(source, FileSource)
        assert_type(source[0], npt.NDArray[Any])
        assert isinstance(source[0], np.ndarray)
        assert voxels_of(source) == volume.size

    # One result for each tile.
    counts = tilecore.collect_tiles(count, source_of_counts, tile_shape=4, executor="serial")
    assert_type(counts, list[int])
    assert [type(each) for each in counts] == [int, int, int, int]

    for tile, found in tilecore.iter_tiles(count, volume, tile_shape=4, executor="serial"):
        assert_type(tile, tilecore.Tile)
        assert_type(found, int)
        assert isinstance(tile, tilecore.Tile) and isinstance(found, int)

    total = tilecore.reduce_tiles(count, add, volume, tile_shape=4, executor="serial")
    assert_type(total, int | Any)  # None of a volume without voxels
    assert isinstance(total, int)

    sizes = tilecore.reduce_tiles(count, lambda so_far, found: [*so_far, found], volume, initial=[0], executor="serial")
    assert_type(sizes, list[int])
    assert isinstance(sizes, list)

    calls = tilecore.pmap_chunks(lambda array, start, chunks: str(start), volume, (4, 6, 8), nb_workers=1)
    assert_type(calls, list[str])
    assert [type(each) for each in calls] == [str]

    # Blobs and points.
    blobs = tilecore.detect_blobs(volume, min_sigma=1, max_sigma=1, num_sigma=1, executor="serial")
    assert_type(blobs, tilecore.Blobs)
    assert_type(blobs["z"], npt.NDArray[Any])
    assert_type(blobs[blobs["z"] > 1], tilecore.Blobs)
    assert isinstance(blobs["z"], np.ndarray) and isinstance(blobs[blobs["z"] > 1], tilecore.Blobs)

    points = tilecore.filter_points_in_box(np.zeros((1, 3)), (0, 0, 0), (1, 1, 1))
    assert_type(points, npt.NDArray[Any])
    rows = tilecore.filter_points_in_box(np.zeros((1, 3)), (0, 0, 0), (1, 1, 1), return_idx=True)
    assert_type(rows, tuple[npt.NDArray[Any], npt.NDArray[np.intp]])
    assert isinstance(points, np.ndarray) and isinstance(rows, tuple)

    @tilecore.declare(halo=lambda sigma=1: 4 * sigma, dtype="float32", scale=0.5, name="half")
    def half(block: npt.NDArray[Any], sigma: int = 1) -> npt.NDArray[Any]:
        return block[::2, ::2, ::2].astype(np.float32) * sigma

    assert_type(half(volume), npt.NDArray[Any])


def mistakes() -> None:
    """Calls that a type checker refuses: if it does no longer, the comment is one too many, which mypy tells."""
    tilecore.map_tiles(smooth, 3)  # type: ignore[call-overload]
    tilecore.map_tiles(smooth, VOLUME, hallo=1)  # type: ignore[call-overload]
    tilecore.map_tiles(smooth, VOLUME, out=3.5)  # type: ignore[call-overload]
    tilecore.collect_tiles(count, VOLUME, boundary="mirrored")  # type: ignore[arg-type]
    tilecore.detect_blobs(VOLUME, mask=0.5)  # type: ignore[arg-type]
    tilecore.open_source(VOLUME)  # type: ignore[arg-type]
