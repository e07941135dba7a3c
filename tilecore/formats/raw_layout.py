"""How numbers lie in a file that has no header, and the ``.yaml`` file beside it that says so."""

from __future__ import annotations

import contextlib
import math
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from tilecore.errors import MissingFileError, ParameterError, UnreadableFileError
from tilecore.extras import need
from tilecore.formats.recorded import NOT_TOLD, Recorded
from tilecore.geometry.per_axis import as_integer, as_shape
from tilecore.output_file import finished

__all__ = [
    "DataOrder",
    "Layout",
    "describe_raw",
    "finished_yaml",
    "import_yaml",
    "is_raw_description",
    "layout_of",
    "raw_shape",
    "read_yaml",
    "write_yaml",
    "yaml_path",
]

#: Which number follows another in the file: the channel's next sample, or the next channel's.
DataOrder: TypeAlias = Literal["channels", "samples"]

_OLD_ORDERS = {"wide": "channels", "long": "samples"}


@dataclass(frozen=True)
class Layout:
    """Kind of number, number of channels and order of a recording's file.

    Attributes
    ----------
    dtype : dtype
    n_channels : int
    data_order : {"channels", "samples"}
        Whether whole channels follow each other, or the samples of all channels at one time.
    """

    dtype: np.dtype[Any]
    n_channels: int
    data_order: DataOrder

    @classmethod
    def of(
        cls,
        path: str | os.PathLike[str],
        dtype: npt.DTypeLike | None = None,
        n_channels: int | None = None,
        data_order: str | None = None,
        data_format: str | None = None,
    ) -> Layout:
        """Take what is given, and the rest from the ``.yaml`` file.

        Raises
        ------
        ParameterError
            If something is neither given nor in the file, is wrong, or contradicts the file.
        """
        return cls.read(path, dtype, n_channels, _as_order(data_order, data_format))[0]

    @classmethod
    def read(
        cls,
        path: str | os.PathLike[str],
        dtype: npt.DTypeLike | None = None,
        n_channels: int | None = None,
        data_order: str | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> tuple[Layout, Mapping[str, Any]]:
        """The same as `of`, and all that the ``.yaml`` file says, which is read once, or not at all if it is given."""
        asked = _asked(dtype, n_channels, _as_order(data_order, None))
        given = {name: value for name, value in asked.items() if value is not None}
        try:
            content = _beside(path) if params is None else params
            found = None if content is None else _layout_in(content, yaml_path(path))
        except UnreadableFileError:
            if len(given) < len(asked):
                raise
            content = found = None  # a file that tells of something else contradicts nothing
        if len(given) < len(asked) and found is None:
            missing = ", ".join(name for name in asked if name not in given)
            raise ParameterError(f"{missing}: not given, and there is no file {yaml_path(path)} that says it")
        for name, value in given.items():
            if found is not None and found.get(name, value) != value:
                raise ParameterError.of(name, str(value), f"{yaml_path(path)} says {found[name]}")
        known: dict[str, Any] = {**(found or {}), **given}
        if absent := [name for name in asked if name not in known]:
            raise ParameterError(f"{', '.join(absent)}: neither given nor in {yaml_path(path)}")
        return cls(**known), content or {}

    def check_agrees(
        self, told_by: str, dtype: npt.DTypeLike | None, n_channels: int | None, data_order: str | None
    ) -> None:
        """Refuse what is given and contradicts this layout, which a file tells.

        Raises
        ------
        ParameterError
            If something does.
        """
        for name, value in _asked(dtype, n_channels, _as_order(data_order, None)).items():
            if value not in (None, getattr(self, name)):
                raise ParameterError.of(name, str(value), f"{told_by} says {getattr(self, name)}")

    @property
    def memory_order(self) -> Literal["C", "F"]:
        """Order of an array of the shape (observations, channels)."""
        return "F" if self.data_order == "channels" else "C"

    @property
    def params(self) -> dict[str, Any]:
        """The same as plain values, as they stand in the ``.yaml`` file."""
        name = self.dtype.name if self.dtype.isnative else self.dtype.str
        return {"dtype": name, "n_channels": self.n_channels, "data_order": self.data_order}

    def observations_in(self, path: str | os.PathLike[str]) -> int:
        """Number of samples of each channel in a file.

        Raises
        ------
        MissingFileError
            If there is no such file.
        ParameterError
            If its size does not fit.
        """
        if not os.path.isfile(path):
            raise MissingFileError.of("path_to_recordings", str(path), "there is no such file")
        size, unit = os.path.getsize(path), self.n_channels * self.dtype.itemsize
        if size % unit:
            raise ParameterError(
                f"{path} has {size} bytes, which is no whole number of observations: {self.n_channels} channels "
                f"of {self.dtype} take {unit} bytes at a time"
            )
        return size // unit


def layout_of(params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that say how numbers lie in a file, without others that stand beside them."""
    return {name: params[name] for name in ("dtype", "n_channels", "data_order")}


def yaml_path(path: str | os.PathLike[str]) -> Path:
    """Where the parameters of a recording's file lie: the same name, ending with ``.yaml``."""
    data = Path(os.path.expanduser(path))
    return data.with_name(data.name + ".yaml") if data.suffix.lower() == ".yaml" else data.with_suffix(".yaml")


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a ``.yaml`` file of parameters.

    Raises
    ------
    UnreadableFileError
        If it holds something else.
    """
    yaml = import_yaml()
    try:
        content = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UnreadableFileError(f"{path} cannot be read as YAML: {error}") from error
    if not isinstance(content, dict):
        raise UnreadableFileError(f"{path} holds no parameters: dtype, n_channels and data_order are needed")
    return content


def write_yaml(path: Path, params: dict[str, Any]) -> None:
    """Write a ``.yaml`` file of parameters."""
    path.write_text(import_yaml().safe_dump(params, default_flow_style=False))


@contextlib.contextmanager
def finished_yaml(path: Path, params: dict[str, Any]) -> Iterator[None]:
    """Write a ``.yaml`` file of parameters, which has its name when the ``with`` block succeeds."""
    with finished(path) as place:
        write_yaml(place, params)
        yield


def describe_raw(
    shape: tuple[int, ...], dtype: np.dtype[Any], channel_names: Sequence[str] = (), recorded: Recorded = NOT_TOLD
) -> dict[str, Any]:
    """Parameters of an array that lies in a file in the usual order; one or two axes are those of a recording."""
    n_channels = math.prod(shape[1:])
    params: dict[str, Any] = Layout(dtype, n_channels, "samples").params
    if len(shape) not in (1, 2) or not n_channels:
        return {"dtype": params["dtype"], "shape": list(shape)}
    return params | recorded.attributes | ({"channel_names": list(channel_names)} if channel_names else {})


def is_raw_description(path: Path) -> bool:
    """Whether a ``.yaml`` file tells of raw numbers, and not of something else."""
    try:
        content = read_yaml(path)
    except (OSError, UnreadableFileError):
        return False
    return "dtype" in content and ("n_channels" in content or "shape" in content)


def raw_shape(path: str | os.PathLike[str]) -> tuple[tuple[int, ...], np.dtype[Any], Literal["C", "F"]]:
    """Shape, kind of number and order of a file, as the ``.yaml`` file beside it says.

    Raises
    ------
    ParameterError, UnreadableFileError
        If it says too little, or something wrong.
    """
    parameters = yaml_path(path)
    content = read_yaml(parameters)
    if "shape" in content and content.get("dtype") is not None:
        shape, dtype = as_shape(content["shape"], f"shape in {parameters}"), _as_dtype(content["dtype"])
        needed, size = math.prod(shape) * dtype.itemsize, os.path.getsize(path)
        if needed != size:
            raise UnreadableFileError(f"{path} has {size} bytes; {parameters} tells of {shape} numbers of {dtype}")
        return shape, dtype, "C"
    layout, _ = Layout.read(path, params=content)
    return (layout.observations_in(path), layout.n_channels), layout.dtype, layout.memory_order


def _beside(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """What the ``.yaml`` file beside a recording says; None if there is none."""
    return read_yaml(yaml_path(path)) if yaml_path(path).is_file() else None


def _layout_in(content: Mapping[str, Any], parameters: Path) -> dict[str, Any]:
    """What a ``.yaml`` file says of the layout."""
    found: dict[str, Any] = {}
    if content.get("dtype") is not None:
        found["dtype"] = _as_dtype(content["dtype"])
    if content.get("n_channels") is not None:
        found["n_channels"] = as_integer(content["n_channels"], f"n_channels in {parameters}", minimum=1)
    order = content.get("data_order") or _OLD_ORDERS.get(str(content.get("data_format")))
    if order is not None:
        found["data_order"] = _as_order(order, None)
    return found


def _asked(dtype: npt.DTypeLike | None, n_channels: int | None, data_order: DataOrder | None) -> dict[str, Any]:
    return {
        "dtype": None if dtype is None else _as_dtype(dtype),
        "n_channels": None if n_channels is None else as_integer(n_channels, "n_channels", minimum=1),
        "data_order": data_order,
    }


def _as_dtype(dtype: npt.DTypeLike) -> np.dtype[Any]:
    try:
        kind: np.dtype[Any] = np.dtype(dtype)
    except TypeError as error:
        raise ParameterError.of("dtype", dtype, str(error)) from error
    if kind.kind not in "biufc" or kind.itemsize == 0:
        raise ParameterError.of("dtype", dtype, "a kind of number is needed, such as 'int16'")
    return kind


def _as_order(data_order: str | None, data_format: str | None) -> DataOrder | None:
    if data_format is not None:
        warnings.warn(
            "data_format is an old name of data_order: 'channels' or 'samples'", DeprecationWarning, stacklevel=4
        )
        if data_format not in _OLD_ORDERS:
            raise ParameterError.of("data_format", data_format, "'wide' or 'long'")
        if data_order not in (None, _OLD_ORDERS[data_format]):
            raise ParameterError.of("data_format", data_format, f"contradicts data_order={data_order!r}")
        data_order = _OLD_ORDERS[data_format]
    if data_order is None:
        return None
    if data_order == "channels":
        return "channels"
    if data_order == "samples":
        return "samples"
    raise ParameterError.of("data_order", data_order, "'channels' or 'samples'")


def import_yaml() -> ModuleType:
    """Import the package that reads and writes YAML.

    Raises
    ------
    MissingDependencyError
        If it is not installed.
    """
    need("a recording", "recordings", "yaml")
    import yaml

    module: ModuleType = yaml
    return module
