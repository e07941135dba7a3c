"""DetectorContract: what every detector of blobs must do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pytest

from tilecore.blobs.detection import detect_blobs
from tilecore.blobs.detectors import OwnDetector, own_detector
from tilecore.blobs.table import Blobs
from tilecore.geometry.per_axis import HaloLike

__all__ = ["DetectorContract"]

_OWN = ("log", "dog", "doh")
_EXACT = "tiles must give, row for row, what the detector finds in the whole volume: is its halo large enough?"

Rows = npt.NDArray[np.float64]


class DetectorContract:
    """Test a detector: derive a class whose name begins with ``Test``, and say which one, with which parameters.

    Attributes
    ----------
    detector : str or callable
        As `detect_blobs` takes it: the name of an entry point of the group ``tilecore.detectors``,
        ``"module:name"``, or a function, in a ``staticmethod(...)``.
    params : mapping
        Arguments of the detector.
    halo : HaloLike, optional
        How far it looks, if it does not declare that itself [voxel].
    options : mapping
        Further arguments of `detect_blobs`.

    Examples
    --------
    >>> class TestSpots(DetectorContract):
    ...     detector = "tilecore_spots:bright_spots"
    ...     params = {"radius": 2, "brightness": 700}
    """

    detector: ClassVar[str | Callable[..., Any]] = ""
    params: ClassVar[Mapping[str, Any]] = {}
    halo: ClassVar[HaloLike | None] = None
    options: ClassVar[Mapping[str, Any]] = {}

    def volume(self) -> npt.NDArray[Any]:
        """A volume in which the detector finds something: bright spots of several sizes in noise, as 16-bit numbers."""
        generator = np.random.default_rng(5)
        volume = generator.integers(0, 200, (13, 30, 34)).astype(np.float64)
        z, y, x = np.indices(volume.shape)
        for centre in generator.integers(1, np.subtract(volume.shape, 1), (24, 3)):
            square = (z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2
            volume += generator.uniform(500, 900) * np.exp(-square / (2 * generator.uniform(0.8, 2.5) ** 2))
        return volume.astype(np.uint16)

    def whole(self, volume: npt.NDArray[Any]) -> Rows:
        """What it finds in the whole volume, without tiles: positions, then other columns, in any order."""
        own = self._own()
        if own.boundary is not None:  # its blocks have more than the volume has
            return _rows(self.blobs(volume, tile_shape=volume.shape), self._names(volume))
        return np.asarray(self._found(volume), dtype=np.float64)

    def blobs(self, volume: npt.NDArray[Any], **run: Any) -> Blobs:
        """What it finds in tiles, none of it pruned."""
        assert self.detector, f"{type(self).__name__} must have a detector: its name, or the function"
        given: dict[str, Any] = {"overlap": 1, "executor": "serial", "progress": False, **self.options}
        if self.params:
            given["params"] = self.params
        if self.halo is not None:
            given["halo"] = self.halo
        return detect_blobs(volume, detector=self.detector, **{**given, **run})

    def check(self, volume: npt.NDArray[Any], **run: Any) -> None:
        """Tiles give what the whole volume gives."""
        expected = _sorted(self.whole(volume))
        assert len(expected), "the volume must be one in which the detector finds something"
        found = _sorted(_rows(self.blobs(volume, **run), self._names(volume)))
        np.testing.assert_array_equal(found, expected, err_msg=_EXACT)

    @pytest.mark.parametrize("length", [100, 16, 11, 7])
    def test_tiles_give_what_the_whole_volume_gives(self, length: int) -> None:
        """Whatever the tiles: one, large ones, some that are smaller than the halo."""
        self.check(self.volume(), tile_shape=length)

    def test_tiles_of_one_plane_give_it_too(self) -> None:
        """Blocks may be as thin as the halo lets them be."""
        volume = self.volume()
        self.check(volume, tile_shape=(1, *volume.shape[1:]))

    @pytest.mark.parametrize("executor", ["threads", "processes"])
    def test_every_executor_gives_it(self, executor: str) -> None:
        """The detector travels to workers, and threads may call it at once."""
        self.check(self.volume(), tile_shape=16, executor=executor, workers=2)

    def test_twice_is_the_same(self) -> None:
        """A tile that is tried again, after its worker has died, must give what it gave before."""
        volume = self.volume()
        same = self.blobs(volume, tile_shape=11) == self.blobs(volume, tile_shape=11)
        assert same, "the same volume must give the same table"

    def test_columns_are_those_that_it_declares(self) -> None:
        """The table has the columns that are declared, by their names."""
        own, volume = self._own(), self.volume()
        rows = self._found(volume)
        assert rows.ndim == 2, "a detector must return a table: a row for each blob"
        n_columns = rows.shape[1] - volume.ndim
        assert n_columns >= 0, "a row must begin with a position along each axis of the block"
        if own.columns is not None:
            assert n_columns == len(own.columns), f"there must be a column for each that is declared: {own.columns}"
        missing = set(own.names(n_columns, volume.ndim)) - set(self.blobs(volume, tile_shape=16).columns)
        assert not missing, f"the table must have the columns that are declared; it lacks {missing}"

    def test_a_volume_without_blobs_gives_an_empty_table_with_all_columns(self) -> None:
        """Nothing is found in a volume of zeros, and the table says so in the same form."""
        nothing = np.zeros_like(self.volume())
        empty, full = self.blobs(nothing, tile_shape=16), self.blobs(self.volume(), tile_shape=16)
        assert len(empty) == 0, "a volume of zeros must have no blob"
        if self.detector in _OWN or self._own().columns is not None:  # nobody knows those that are not declared
            assert empty.columns == full.columns, "an empty table must have the same columns as any other"

    def test_small_blocks_are_no_error(self) -> None:
        """At the end of a volume a block may be a voxel long."""
        self._own()
        volume = self.volume()
        for length in range(1, 4):
            small = np.zeros((length,) * volume.ndim, volume.dtype)
            assert len(self._found(small)) == 0, "a block of zeros must have no blob"

    def _own(self) -> OwnDetector:
        """The detector as tilecore calls it."""
        if self.detector in _OWN:
            pytest.skip("of functions of a block; this detector is tilecore's own")
        return own_detector(self.detector, self.params, self.halo)

    def _found(self, block: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """What the function finds in a block, which is read-only as those of a run are."""
        block = block.view()
        block.flags.writeable = False
        return np.asarray(self._own().function(block, **self.params))

    def _names(self, volume: npt.NDArray[Any]) -> list[str]:
        """Names of the columns that it finds."""
        axes = ["z", "y", "x"][-volume.ndim :]
        if self.detector in _OWN:
            return [*axes, "sigma"]
        return [*axes, *self._own().names(self._found(volume).shape[1] - volume.ndim, volume.ndim)]


def _rows(blobs: Blobs, names: list[str]) -> Rows:
    return np.column_stack([blobs[name] for name in names]).astype(np.float64)


def _sorted(rows: Rows) -> Rows:
    """In the order of all columns, the first one first."""
    return rows[np.lexsort(rows.T[::-1])]
