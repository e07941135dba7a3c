"""Sink for OME-Zarr images with a pyramid, which many processes write at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tilecore.errors import ParameterError, UnreadableFileError
from tilecore.formats.axes import AXES, in_usual_order
from tilecore.formats.chunk_shapes import default_shards
from tilecore.formats.opening import open_source
from tilecore.formats.pyramids import Level, level_factors
from tilecore.formats.sink import SinkSpec
from tilecore.formats.zarr.metadata import array_document_v2, array_document_v3, parse_array
from tilecore.formats.zarr.ome import multiscales_document
from tilecore.formats.zarr.sink import ZarrArrayWriter, ZarrSink, open_writer, write_json
from tilecore.formats.zarr.stores import open_store
from tilecore.objects.paths import output_path

__all__ = ["OmeZarrSink"]


class OmeZarrSink(ZarrSink):
    """An OME-Zarr image of version 0.5 or 0.4.

    Regions are written into the finest level; `commit` makes the coarser levels.
    """

    kind: ClassVar[str] = "OME-Zarr"

    def __init__(self, spec: SinkSpec) -> None:
        if spec.axes_are_guessed:  # there is no other order
            spec = replace(spec, axes=AXES[-len(spec.shape) :] if spec.shape else "")
        super().__init__(spec)
        order = ["TCZYX".find(axis) for axis in spec.axes]
        if -1 in order or order != sorted(order) or not spec.axes.endswith("YX"):
            alone = ", and one channel can be taken alone, as a source that is opened with channel=0"
            raise ParameterError.of(
                "axes",
                spec.axes,
                "OME-Zarr images have axes of TCZYX, in this order, with Y and X; .zarr and .h5 files keep others, and "
                f"'tilecore convert' puts them in this order{alone if 'C' in spec.axes else ''}",
            )
        if spec.ome_zarr_version == "0.4" and spec.shards is not None:
            raise ParameterError.of("shards", spec.shards, "OME-Zarr 0.4 has no shards; leave it out")
        one = (1,) * len(spec.shape)
        self._factors = level_factors(spec.shape, spec.axes, spec.voxel_size_um) if spec.pyramid else [one]

    @classmethod
    def order_of_axes(cls, axes: str) -> str:
        """The order of ``TCZYX``."""
        return in_usual_order(axes)

    def _default_shards(self) -> tuple[int, ...] | None:
        return None if self.spec.ome_zarr_version == "0.4" else super()._default_shards()

    def _needed_bytes(self, dtype: np.dtype[Any]) -> int:
        return super()._needed_bytes(dtype) * (4 if len(self._factors) > 1 else 3) // 3

    def _make(self, dtype: np.dtype[Any]) -> ZarrArrayWriter:
        data = self.place.data
        data.mkdir()
        total, shape, totals = (1,) * len(self.shape), self.shape, []
        for level, factors in enumerate(self._factors):
            shape = tuple([-(-length // factor) for length, factor in zip(shape, factors, strict=True)])
            total = tuple([whole * factor for whole, factor in zip(total, factors, strict=True)])
            totals.append(total)
            self._make_array(data / str(level), shape, dtype)
        self._make_group(totals, dtype)
        return open_writer(data / "0", data.parent)

    def _make_array(self, path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        path.mkdir()
        chunks = tuple([min(chunk, max(length, 1)) for chunk, length in zip(self.chunks, shape, strict=True)])
        if self.spec.ome_zarr_version == "0.4":
            write_json(path / ".zarray", array_document_v2(shape, dtype, chunks, self.spec.codec))
            return
        shards = self.shards if path.name == "0" else default_shards(shape, chunks)
        if path.name == "0":
            chunks = self.chunks
        document = array_document_v3(shape, dtype, chunks, shards, self.spec.codec, self.spec.axes, {})
        write_json(path / "zarr.json", document)

    def _make_group(self, totals: list[tuple[int, ...]], dtype: np.dtype[Any]) -> None:
        spec, data = self.spec, self.place.data
        attributes = multiscales_document(
            self.path.name,
            spec.axes,
            spec.voxel_size_um,
            spec.origin_um,
            totals,
            spec.channel_names,
            dtype,
            spec.ome_zarr_version,
        )
        if spec.ome_zarr_version == "0.4":
            write_json(data / ".zgroup", {"zarr_format": 2})
            write_json(data / ".zattrs", attributes)
        else:
            group = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
            write_json(data / "zarr.json", group)

    def _reopened(self, path: str) -> ZarrArrayWriter:
        image = output_path(path)
        if parse_array(open_store(path), f"{len(self._factors) - 1}/") is None:
            raise UnreadableFileError(f"{path} has fewer levels than this image needs: delete it to start over")
        return self._same(open_writer(image / "0", image.parent))

    def levels(self) -> Iterator[Level]:
        """Iterate over the levels below the finest one, which was written."""
        data = self.place.data
        for level in range(1, len(self._factors) if self._target is not None else 0):
            with open_source(data / str(level - 1)) as finer:
                yield Level(finer, open_writer(data / str(level), data.parent), self._factors[level])
