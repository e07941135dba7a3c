"""Writing of Imaris files by their public description, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

#: Edges of the chunks that each dataset is filled up to [voxel].
CHUNKS = (4, 16, 16)


def write_imaris(
    path: Path,
    image: np.ndarray,
    *,
    voxel_size_um: tuple[float, float, float] = (1.0, 1.0, 1.0),
    start_um: tuple[float, float, float] = (0.0, 0.0, 0.0),
    names: tuple[str, ...] = (),
    n_levels: int = 1,
    unit: str = "um",
) -> None:
    """Write an image of the axes TCZYX; each level takes every second voxel along y and x of the one before."""
    h5py = pytest.importorskip("h5py", reason="HDF5 is optional")
    with h5py.File(path, "w") as file:
        about = file.create_group("DataSetInfo/Image")
        for axis, (letter, size, start) in enumerate(zip("ZYX", voxel_size_um, start_um, strict=True)):
            length = image.shape[2 + axis]
            _tell(about, **{letter: length, f"ExtMin{2 - axis}": start, f"ExtMax{2 - axis}": start + size * length})
        _tell(about, Unit=unit)
        for number, name in enumerate(names):
            _tell(file.create_group(f"DataSetInfo/Channel {number}"), Name=name)
        for level in range(n_levels):
            for time, channels in enumerate(image):
                for number, volume in enumerate(channels):
                    _write(file.create_group(_name(level, time, number)), volume)
            image = image[..., ::2, ::2]


def _name(level: int, time: int, channel: int) -> str:
    return f"DataSet/ResolutionLevel {level}/TimePoint {time}/Channel {channel}"


def _write(group: Any, volume: np.ndarray) -> None:
    ends = [(0, -length % chunk) for length, chunk in zip(volume.shape, CHUNKS, strict=True)]
    padded = np.pad(volume, ends, constant_values=volume.dtype.type(77))
    group.create_dataset("Data", data=padded, chunks=CHUNKS, compression="gzip")
    group.create_dataset("Histogram", data=np.zeros(256, "u8"))
    _tell(group, **{f"ImageSize{axis}": n for axis, n in zip("ZYX", volume.shape, strict=True)})


def _tell(group: Any, **attributes: object) -> None:
    """Write attributes as arrays of single characters."""
    for name, value in attributes.items():
        group.attrs[name] = np.frombuffer(str(value).encode(), "S1")
