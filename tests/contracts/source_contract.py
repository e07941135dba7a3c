"""Contract tests of sources: a subclass writes the file by another program."""

from __future__ import annotations

import gc
import os
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tilecore import BoundsError, ParameterError, ParameterTypeError, Source, collect_tiles, map_tiles, open_source
from tilecore.formats.source import FileSource
from tilecore.geometry.boxes import Box

INDICES: list[Any] = [
    (slice(3, 9), slice(20, 37), slice(11, 50)),
    (slice(None), slice(0, 1), slice(-7, None)),
    (5,),
    (-1, slice(2, 30), 7),
    (..., 3),
    (slice(1, 11, 3), slice(None, None, 7)),
    (slice(4, 4), slice(None)),
    ...,
]


def volume() -> np.ndarray:
    return np.random.default_rng(7).integers(0, 4000, (12, 41, 53)).astype(np.uint16)


class SourceContract:
    """Tests that every source must pass; subclasses define `write`."""

    voxel_size_um: tuple[float, float, float] | None = None

    def write(self, folder: Path, volume: np.ndarray) -> tuple[Path | str, dict[str, Any]]:
        """Write the volume with another program; return the path, and options of `open_source`."""
        raise NotImplementedError

    @pytest.fixture
    def source(self, tmp_path: Path) -> Iterator[FileSource]:
        path, options = self.write(tmp_path, volume())
        with open_source(path, **options) as source:
            yield source

    @pytest.mark.parametrize("index", INDICES, ids=str)
    def test_regions(self, source: FileSource, index: Any) -> None:
        block = source[index]
        np.testing.assert_array_equal(block, volume()[index])
        assert isinstance(block, np.ndarray)

    def test_numpy_takes_it_for_an_array(self, source: FileSource) -> None:
        whole = np.asarray(source)
        assert (whole.shape, whole.dtype) == ((12, 41, 53), np.uint16)
        np.testing.assert_array_equal(whole, volume())
        assert np.allclose(source, volume())
        np.testing.assert_array_equal(np.asarray(source, np.float32), volume().astype("f4"))
        own = np.array(source)
        own[...] = 0  # a copy, which is the caller's
        np.testing.assert_array_equal(np.stack(list(source)), volume())
        assert (len(source), source.ndim, source.size, source.nbytes) == (12, 3, 26076, 52152)
        if source.mapped is None:
            with pytest.raises(ParameterError, match="without a copy"):
                np.asarray(source, copy=False)
        else:
            assert np.shares_memory(np.asarray(source, copy=False), source.mapped)
        part = source.cropped(Box((2, 10, 5), (9, 40, 50)))
        np.testing.assert_array_equal(np.asarray(part), volume()[2:9, 10:40, 5:50])

    def test_it_says_what_it_is(self, source: FileSource) -> None:
        assert isinstance(source, Source)
        assert source.shape == (12, 41, 53)
        assert source.dtype == np.uint16
        assert source.axes == "ZYX"
        assert source.voxel_size_um == (None if self.voxel_size_um is None else pytest.approx(self.voxel_size_um))
        assert source.chunks is None or len(source.chunks) == 3
        assert source.path in repr(source)

    @pytest.mark.parametrize(
        ("index", "error"),
        [
            (12, BoundsError),
            ((0, 0, 0, 0), BoundsError),
            ("z", ParameterTypeError),
            (slice(None, None, -1), ParameterError),
        ],
        ids=str,
    )
    def test_wrong_indices(self, source: FileSource, index: Any, error: type[Exception]) -> None:
        with pytest.raises(error):
            source[index]

    def test_it_pickles_as_a_descriptor(self, source: FileSource) -> None:
        packed = pickle.dumps(source)
        assert len(packed) < 4096
        again = pickle.loads(packed)
        np.testing.assert_array_equal(again[2:4], volume()[2:4])
        assert (again.axes, again.chunks, again.voxel_size_um) == (source.axes, source.chunks, source.voxel_size_um)

    def test_one_handle_in_a_process(self, source: FileSource) -> None:
        again = pickle.loads(pickle.dumps(source))
        source[0], again[0]
        n_open = len(os.listdir("/proc/self/fd"))
        third = pickle.loads(pickle.dumps(source))
        third[0]
        assert len(os.listdir("/proc/self/fd")) == n_open
        source.close()
        np.testing.assert_array_equal(again[1], volume()[1])
        np.testing.assert_array_equal(source[1], volume()[1])

    def test_workers_read_it_after_a_fork(self, source: FileSource) -> None:
        source[0]  # the parent's handle is open
        result = map_tiles(lambda block: block, source, tile_shape=(3, 20, 20), workers=2, start_method="fork")
        np.testing.assert_array_equal(result, volume())

    def test_threads_read_it(self, source: FileSource) -> None:
        wrong = []

        def read(seed: int) -> None:
            generator = np.random.default_rng(seed)
            for _ in range(20):
                z, y, x = generator.integers(0, (10, 30, 40))
                if not np.array_equal(
                    source[z : z + 2, y : y + 9, x : x + 9], volume()[z : z + 2, y : y + 9, x : x + 9]
                ):
                    wrong.append((z, y, x))

        threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong

    def test_a_part_of_it(self, source: FileSource) -> None:
        part = source.cropped(Box((2, 10, 5), (9, 40, 50)))
        np.testing.assert_array_equal(part[1:4, :, 3], volume()[2:9, 10:40, 5:50][1:4, :, 3])
        np.testing.assert_array_equal(part.cropped(Box((1, 1, 1), (3, 3, 3)))[...], volume()[3:5, 11:13, 6:8])
        with pytest.raises(BoundsError):
            source.cropped(Box((0, 0, 0), (13, 1, 1)))

    def test_verbs_take_its_path(self, tmp_path: Path) -> None:
        path, options = self.write(tmp_path, volume())
        if not options:
            sums = collect_tiles(np.sum, path, tile_shape=(12, 41, 53), executor="serial")
            assert sums == [volume().sum()]

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        path, options = self.write(tmp_path, volume())
        with pytest.raises(FileNotFoundError):
            open_source(str(path).replace(str(tmp_path), str(tmp_path / "elsewhere")), **options)

    def test_an_open_file_is_closed_with_its_source(self, source: FileSource) -> None:
        source[0]
        source.close()
        gc.collect()
        assert not [target for target in _open_files() if source.path in target]


def _open_files() -> list[str]:
    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{number}"))
        except OSError:
            continue
    return found
