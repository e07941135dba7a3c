"""ReaderContract: what every kind of file that is read must do."""

from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pytest

from tilecore.engine.collecting import collect_tiles
from tilecore.engine.mapping import map_tiles
from tilecore.errors import BoundsError, ParameterError, ParameterTypeError, UnreadableFileError
from tilecore.formats.opening import open_source
from tilecore.formats.source import FileSource, Source
from tilecore.geometry.boxes import Box
from tilecore.testing.leaks import CAN_LOOK

__all__ = ["ReaderContract", "volume"]

_SHAPE = (12, 41, 53)
_PART = Box((2, 10, 5), (9, 40, 50))
_SLICE = "a box that is read must be the slice of the whole volume"

_INDICES: list[Any] = [
    (slice(3, 9), slice(20, 37), slice(11, 50)),
    (slice(None), slice(0, 1), slice(-7, None)),
    (5,),
    (-1, slice(2, 30), 7),
    (..., 3),
    (slice(1, 11, 3), slice(None, None, 7)),
    (slice(4, 4), slice(None)),
    ...,
]


def volume() -> npt.NDArray[np.uint16]:
    """The volume that is written, and read again."""
    return np.random.default_rng(7).integers(0, 4000, _SHAPE).astype(np.uint16)


class ReaderContract:
    """Test a reader: derive a class whose name begins with ``Test``, and say how such a file is written.

    The file is read by `open_source`, as a user would: the reader must be registered among the entry
    points ``tilecore.readers``, and its package installed.

    Attributes
    ----------
    axes : str
        Those that the file says, or the usual ones. Default: ``"ZYX"``.
    voxel_size_um : tuple of 3 floats, optional
        What the file says of it [um].
    start_methods : sequence of str
        How worker processes are started that read the file.

    Examples
    --------
    >>> class TestNpy(ReaderContract):
    ...     def write(self, folder, volume):
    ...         np.save(folder / "volume.npy", volume)
    ...         return folder / "volume.npy", {}
    """

    axes: ClassVar[str] = "ZYX"
    voxel_size_um: ClassVar[tuple[float, float, float] | None] = None
    start_methods: ClassVar[tuple[str, ...]] = ("fork", "forkserver")

    def write(self, folder: Path, volume: npt.NDArray[np.uint16]) -> tuple[Path | str, dict[str, Any]]:
        """Write a volume into a folder by another program, or by hand; return the path, and options of `open_source`.

        Nothing else may be in the folder but what belongs to the file.
        """
        raise NotImplementedError(f"{type(self).__name__} must have a method write(folder, volume)")

    @pytest.fixture
    def source(self, tmp_path: Path) -> Iterator[FileSource]:
        """The file, opened."""
        path, options = self.write(tmp_path, volume())
        with open_source(path, **options) as source:
            yield source

    def test_it_says_what_it_is(self, source: FileSource) -> None:
        """Shape, dtype, axes and voxel size are known before a voxel is read."""
        assert isinstance(source, Source), "what is opened must be a Source"
        assert source.shape == _SHAPE, "the shape must be that of the volume, as z, y, x"
        assert _is_uint16(source.dtype), "the dtype must be that of the volume, in any order of bytes"
        assert source.axes == self.axes, "there must be a letter for each axis"
        expected = None if self.voxel_size_um is None else pytest.approx(self.voxel_size_um)
        assert source.voxel_size_um == expected, "the voxel size must be along z, y, x, in micrometres"
        assert source.chunks is None or len(source.chunks) == 3, "a chunk must have a length along each axis"
        assert source.path in repr(source), "the text of a source must name its file"

    @pytest.mark.parametrize("index", _INDICES, ids=str)
    def test_an_index_means_what_it_means_to_numpy(self, source: FileSource, index: Any) -> None:
        """Slices, steps, single positions, from the front and from the end."""
        block = source[index]
        np.testing.assert_array_equal(block, volume()[index], err_msg=_SLICE)
        assert isinstance(block, np.ndarray), "what is read must be an array of numpy"

    @pytest.mark.parametrize("seed", range(4))
    def test_every_box_is_the_slice_of_the_whole(self, source: FileSource, seed: int) -> None:
        """Boxes anywhere, of any size, also of one voxel, in any order."""
        generator, whole = np.random.default_rng(seed), volume()
        for _ in range(25):
            ends = np.sort([generator.integers(0, length + 1, 2) for length in _SHAPE], axis=1)
            index = tuple(slice(int(start), int(max(stop, start + 1))) for start, stop in ends)
            np.testing.assert_array_equal(source[index], whole[index], err_msg=f"{_SLICE}: {index}")

    @pytest.mark.parametrize("seed", range(4))
    def test_a_box_is_read_into_an_array(self, source: FileSource, seed: int) -> None:
        """Boxes anywhere, whole chunks too, into arrays of any layout; all around them stays as it is."""
        generator, whole = np.random.default_rng(seed), volume()
        law = "read_into must give what slices give, and write nothing else"
        chunk = [slice(0, min(pair)) for pair in zip(source.chunks or _SHAPE, _SHAPE, strict=True)]
        for number in range(12):
            ends = np.sort([generator.integers(0, length + 1, 2) for length in _SHAPE], axis=1)
            box = Box.from_slices(chunk) if number < 3 else Box(ends[:, 0].tolist(), ends[:, 1].tolist())
            expected = whole[box.slices]
            around = np.full([length + 2 for length in box.shape], 7, source.dtype)
            fitting = np.empty(box.shape, source.dtype, order="C" if number % 2 else "F")
            wider = np.empty(box.shape, np.float32)
            source.expect(box)  # a hint, which changes nothing
            for out in (around[1:-1, 1:-1, 1:-1], fitting, wider):
                source.read_into(box, out)
                np.testing.assert_array_equal(out, expected, err_msg=f"{law}: {box}")
            around[1:-1, 1:-1, 1:-1] = 7
            assert (around == 7).all(), f"{law}: {box}"

    def test_arrays_that_a_box_does_not_fit(self, source: FileSource) -> None:
        """Another shape, too few values, read-only, or a box that lies outside."""
        box, fitting = Box((1, 2, 3), (3, 5, 7)), np.empty((2, 3, 4), source.dtype)
        fixed = fitting.copy()
        fixed.setflags(write=False)
        for out in (fitting[:1], fitting.astype(np.uint8), fixed):
            with pytest.raises(ParameterError, match="out"):
                source.read_into(box, out)
        with pytest.raises(BoundsError):
            source.read_into(box.translated((11, 0, 0)), fitting)
        part = source.cropped(_PART)
        part.read_into(box, fitting)
        np.testing.assert_array_equal(fitting, volume()[_PART.slices][box.slices], err_msg=_SLICE)

    @pytest.mark.parametrize(
        ("index", "error"),
        [
            (_SHAPE[0], BoundsError),
            ((0, 0, 0, 0), BoundsError),
            ("z", ParameterTypeError),
            (slice(None, None, -1), ParameterError),
        ],
        ids=str,
    )
    def test_wrong_indices_are_refused(self, source: FileSource, index: Any, error: type[Exception]) -> None:
        """What lies outside, or is no index, is no block."""
        with pytest.raises(error):
            source[index]

    def test_numpy_takes_it_for_an_array(self, source: FileSource) -> None:
        """All of it, a part of it, with another dtype, as a copy."""
        law = "numpy must get the whole volume"
        whole = np.asarray(source)
        assert whole.shape == _SHAPE and _is_uint16(whole.dtype), law
        np.testing.assert_array_equal(whole, volume(), err_msg=law)
        np.testing.assert_array_equal(np.asarray(source, np.float32), volume().astype("f4"), err_msg=law)
        own = np.array(source)
        own[...] = 0
        law = "who writes into a copy must not write into the source"
        np.testing.assert_array_equal(np.stack([source[z] for z in range(len(source))]), volume(), err_msg=law)
        assert (len(source), source.ndim, source.size, source.nbytes) == (12, 3, 26076, 52152), "as of an array"
        if source.mapped is None:
            with pytest.raises(ParameterError, match="without a copy"):
                np.asarray(source, copy=False)
        else:
            shared = np.shares_memory(np.asarray(source, copy=False), source.mapped)
            assert shared, "a file that is mapped must be had without a copy"

    def test_a_part_of_it(self, source: FileSource) -> None:
        """A box of a source is a source, and has boxes."""
        part, expected = source.cropped(_PART), volume()[_PART.slices]
        np.testing.assert_array_equal(np.asarray(part), expected, err_msg=_SLICE)
        np.testing.assert_array_equal(part[1:4, :, 3], expected[1:4, :, 3], err_msg=_SLICE)
        inner = part.cropped(Box((1, 1, 1), (3, 3, 3)))
        np.testing.assert_array_equal(inner[...], expected[1:3, 1:3, 1:3], err_msg=_SLICE)
        with pytest.raises(BoundsError):
            source.cropped(Box((0, 0, 0), (13, 1, 1)))

    def test_it_pickles_as_a_descriptor(self, source: FileSource) -> None:
        """Sources travel between processes without voxels and without an open file."""
        packed = pickle.dumps(source)
        assert len(packed) < 4096, "a source must travel as a small descriptor, not as data"
        again = pickle.loads(packed)
        np.testing.assert_array_equal(again[2:4], volume()[2:4], err_msg=_SLICE)
        found = (again.axes, again.chunks, again.voxel_size_um)
        assert found == (source.axes, source.chunks, source.voxel_size_um), "what a source says must travel along"

    def test_workers_read_it(self, source: FileSource) -> None:
        """Each process opens the file itself: one that came through a fork would share its position in the file."""
        source[0]  # this process has the file open
        possible = multiprocessing.get_all_start_methods()
        for method in [each for each in self.start_methods if each in possible] or ["spawn"]:
            result = map_tiles(lambda block: block, source, tile_shape=(3, 20, 20), workers=2, start_method=method)
            law = f"workers must read what this process reads, also when they are started by {method}"
            np.testing.assert_array_equal(result, volume(), err_msg=law)

    def test_threads_read_it(self, source: FileSource) -> None:
        """Several threads read at once."""
        whole, wrong = volume(), []

        def read(seed: int) -> None:
            generator = np.random.default_rng(seed)
            for _ in range(20):
                z, y, x = generator.integers(0, (10, 30, 40))
                index = (slice(z, z + 2), slice(y, y + 9), slice(x, x + 9))
                if not np.array_equal(source[index], whole[index]):
                    wrong.append(index)

        threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong, "threads that read at once must not get each other's voxels"

    def test_one_handle_in_a_process(self, source: FileSource) -> None:
        """All sources of one file share it."""
        if not CAN_LOOK:
            pytest.skip("the system does not tell which files are open")
        again = pickle.loads(pickle.dumps(source))
        source[0], again[0]
        n_open = len(os.listdir("/proc/self/fd"))
        third = pickle.loads(pickle.dumps(source))
        third[0]
        assert len(os.listdir("/proc/self/fd")) == n_open, "another source of the file must not open it again"
        source.close()
        for each in (again, source):
            np.testing.assert_array_equal(each[1], volume()[1], err_msg="a closed source must open the file again")

    def test_an_open_file_is_closed_with_its_source(self, source: FileSource) -> None:
        """The reader closes its file when it is dropped."""
        source[0]
        source.close()
        gc.collect()
        left = [target for target in _open_files() if source.path in target]
        assert not left, "a file must be closed with the last source that reads it"

    def test_verbs_take_its_path(self, tmp_path: Path) -> None:
        """A path is as good as an array."""
        path, options = self.write(tmp_path, volume())
        if options:
            pytest.skip("a path alone is not enough for this kind")
        sums = collect_tiles(np.sum, path, tile_shape=_SHAPE, executor="serial")
        assert sums == [volume().sum()], "a verb must read the file by its path"

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        """It is missing, not damaged."""
        path, options = self.write(tmp_path, volume())
        elsewhere = str(path).replace(str(tmp_path), str(tmp_path / "elsewhere"))
        with pytest.raises(FileNotFoundError):
            open_source(elsewhere, **options)

    def test_a_file_that_is_cut_off_is_named(self, tmp_path: Path) -> None:
        """An error says which file is damaged; voxels that are not there are never made up."""
        path, options = self.write(tmp_path, volume())
        sizes = {file: file.stat().st_size for file in tmp_path.rglob("*") if file.is_file()}
        damaged = [file for file, size in sizes.items() if size > max(sizes.values()) // 2]  # those that hold voxels
        for file in damaged:
            os.truncate(file, sizes[file] // 2)
        with pytest.raises(UnreadableFileError) as error:
            np.array(open_source(path, **options))
        names = [str(path), *(file.name for file in damaged)]
        assert any(name in str(error.value) for name in names), f"the error must name the file: {error.value}"


def _is_uint16(dtype: np.dtype[Any]) -> bool:
    return dtype.newbyteorder("=") == np.uint16


def _open_files() -> list[str]:
    """Names of the files that this process has open, where the system tells."""
    found = []
    for number in os.listdir("/proc/self/fd") if CAN_LOOK else []:
        try:
            found.append(os.readlink(f"/proc/self/fd/{number}"))
        except OSError:  # closed since
            continue
    return found
