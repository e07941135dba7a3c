"""Sink for a variable of a dataset: a group of zarr that holds the array, and its coordinates beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tilecore.arrays.content import digest_of_bytes
from tilecore.extras import need
from tilecore.formats.opening import open_source
from tilecore.formats.sink import SinkSpec
from tilecore.formats.source import FileSource
from tilecore.formats.zarr.consolidating import consolidate
from tilecore.formats.zarr.metadata import array_document_v3
from tilecore.formats.zarr.quiet import quiet_zarr
from tilecore.formats.zarr.sink import ZarrArrayWriter, ZarrSink, open_writer, write_json
from tilecore.formats.zarr.variable_labels import VariableLabels, plain_attributes

if TYPE_CHECKING:
    from xarray import DataArray

__all__ = ["VariableSink"]


class VariableSink(ZarrSink):
    """The array ``name`` in the group ``name.zarr``, with its coordinates beside it."""

    kind: ClassVar[str] = "zarr dataset"

    def __init__(self, spec: SinkSpec, labels: VariableLabels | None = None) -> None:
        super().__init__(spec)
        self.labels = labels

    @property
    def content(self) -> str:
        """The name of the variable, and a digest of its labels."""
        labels = "" if self.labels is None else digest_of_bytes(self.labels.text().encode())
        return f"{self.spec.dataset} {labels}"

    def _make(self, dtype: np.dtype[Any]) -> ZarrArrayWriter:
        import zarr

        assert self.labels is not None  # only the process that was given them makes the file
        data, labels = self.place.data, self.labels
        array = data / self.spec.dataset
        attributes = plain_attributes(labels.attrs, "out")
        document = array_document_v3(self.shape, dtype, self.chunks, self.shards, self.spec.codec, "", attributes)
        with quiet_zarr():
            if labels.coords is None or not len(labels.coords.coords):
                zarr.create_group(data)
            else:
                labels.coords.to_zarr(data, mode="w", consolidated=False, zarr_format=3)
        array.mkdir()
        write_json(array / "zarr.json", document | {"dimension_names": list(labels.dims)})
        consolidate(data)
        return open_writer(array, data.parent)

    def _reopened(self, path: str) -> ZarrArrayWriter:
        return self._same(open_writer(Path(path) / self.spec.dataset, Path(path).parent))

    def _written(self) -> FileSource:
        return open_source(self.place.data / self.spec.dataset, missing_chunks="fill")

    def result(self) -> DataArray:  # type: ignore[override]
        """Open the variable under its final name: lazily, in blocks of dask if dask is there."""
        need("a variable that is opened", "xarray", "xarray")
        from tilecore.formats.zarr.stored_variable import open_variable

        return open_variable(self.path)
