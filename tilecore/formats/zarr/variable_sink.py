"""Sink for a variable of a dataset: a group of zarr that holds the array, and its coordinates beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tilecore.arrays.content import digest_of_array, digest_of_bytes
from tilecore.errors import MissingDependencyError, ParameterError
from tilecore.formats.opening import open_source
from tilecore.formats.sink import SinkSpec
from tilecore.formats.source import FileSource
from tilecore.formats.zarr.metadata import array_document_v3
from tilecore.formats.zarr.quiet import quiet_zarr
from tilecore.formats.zarr.sink import ZarrArrayWriter, ZarrSink, open_writer, write_json

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

__all__ = ["VariableLabels", "VariableSink"]

# Attributes by which xarray would decode the voxels, or take other variables for coordinates.
_DECODED = {"scale_factor", "add_offset", "_FillValue", "missing_value", "_Unsigned", "dtype", "coordinates"}


@dataclass(frozen=True)
class VariableLabels:
    """What is written beside the voxels of a variable.

    Attributes
    ----------
    dims : tuple of str
        Names of the axes.
    coords : Dataset or None
        The coordinates; None if there are none.
    attrs : dict
        Attributes of the variable.
    """

    dims: tuple[str, ...]
    coords: Dataset | None
    attrs: Mapping[str, object]

    def check(self, name: str) -> None:
        """Refuse what a file of zarr cannot hold, or what could not be read again as it was.

        Raises
        ------
        ParameterError
            If it is so.
        """
        coords = () if self.coords is None else self.coords.coords
        if name in self.dims or name in coords:
            raise ParameterError.of("out", name, "a coordinate or a dimension has this name; choose another")
        for coordinate in coords:
            index = None if self.coords is None else self.coords.xindexes.get(coordinate)
            if type(index).__name__ == "PandasMultiIndex":
                raise ParameterError.of(
                    "out", name, f"the coordinate {coordinate!r} has several levels, which zarr cannot hold: write "
                    "source.reset_index(...) instead"
                )  # fmt: skip
        plain_attributes(self.attrs)

    def text(self) -> str:
        """Text that differs where labels differ."""
        told: list[object] = [self.dims, sorted(plain_attributes(self.attrs).items())]
        coords = {} if self.coords is None else self.coords.coords
        for name in sorted(coords, key=str):
            coordinate, values = coords[name], coords[name].values
            same = values.tolist() if values.dtype.hasobject else digest_of_array(values)
            told.append((name, coordinate.dims, values.dtype.str, same, sorted(coordinate.attrs.items(), key=str)))
        return repr(told)


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
        assert self.labels is not None  # only the process that was given them makes the file
        data, labels = self.place.data, self.labels
        if labels.coords is None or not len(labels.coords.coords):
            data.mkdir()
            write_json(data / "zarr.json", {"zarr_format": 3, "node_type": "group", "attributes": {}})
        else:
            with quiet_zarr():
                coords = labels.coords.drop_encoding()  # of the file that they come from: chunks, codecs
                coords.to_zarr(data, mode="w", consolidated=False, zarr_format=3)
        attributes = plain_attributes(labels.attrs)
        document = array_document_v3(self.shape, dtype, self.chunks, self.shards, self.spec.codec, "", attributes)
        array = data / self.spec.dataset
        array.mkdir()
        write_json(array / "zarr.json", document | {"dimension_names": list(labels.dims)})
        _consolidate(data)
        return open_writer(array, data.parent)

    def _reopened(self, path: str) -> ZarrArrayWriter:
        return self._same(open_writer(Path(path) / self.spec.dataset, Path(path).parent))

    def _written(self) -> FileSource:
        return open_source(self.place.data / self.spec.dataset, missing_chunks="fill")

    def result(self) -> DataArray:  # type: ignore[override]
        """Open the variable under its final name: lazily, in blocks of dask if dask is there."""
        try:
            import xarray
        except ImportError as error:
            raise MissingDependencyError('a variable is opened by xarray: pip install "tilecore[xarray]"') from error
        chunks: dict[str, int] | None = None if find_spec("dask") is None else {}
        opened: DataArray = xarray.open_zarr(self.path, chunks=chunks, consolidated=False)[self.spec.dataset]
        return opened


def _consolidate(group: Path) -> None:
    """Write the metadata of all arrays into those of the group, where `xarray.open_zarr` looks for them first."""
    import zarr

    with quiet_zarr():
        zarr.consolidate_metadata(group)


def plain_attributes(attributes: Mapping[str, object]) -> dict[str, object]:
    """Attributes as values of JSON.

    Raises
    ------
    ParameterError
        If one has no such form, or would change how the voxels are read.
    """
    plain: dict[str, object] = {}
    for name, given in attributes.items():
        value = given.tolist() if isinstance(given, (np.ndarray, np.generic)) else given
        since = name == "units" and " since " in str(value)
        if name in _DECODED or since:
            raise ParameterError.of("out", {name: value}, "xarray would decode the voxels by this attribute; remove it")
        if not isinstance(name, str) or not _is_json(value):
            raise ParameterError.of("out", {name: value}, "an attribute of a file is text, a number, or a list of them")
        plain[name] = value
    return plain


def _is_json(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_json, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_json(each) for key, each in value.items())
    return value is None or isinstance(value, (str, int, float))
