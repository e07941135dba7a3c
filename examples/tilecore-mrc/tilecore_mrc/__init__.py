"""A reader for tilecore: MRC volumes, as electron microscopes and their tomography write them."""

from __future__ import annotations

import struct

import numpy as np

from tilecore import UnreadableFileError
from tilecore.formats.image_info import MICROMETRES, ImageInfo, positive_size
from tilecore.formats.reader import MappedReader

__all__ = ["open_mrc"]

_HEADER_BYTES = 1024

# Kinds of numbers, by the number that the header has for each.
_MODES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}


def open_mrc(path: str) -> MappedReader:
    """Map a file: its voxels lie behind the header as they are, x first.

    Parameters
    ----------
    path : str

    Returns
    -------
    MappedReader
        A `tilecore.formats.reader.Reader`: tilecore reads boxes of it, from any process.
    """
    with open(path, "rb") as file:
        header = file.read(_HEADER_BYTES)
    if len(header) < _HEADER_BYTES or header[208:211] != b"MAP":
        raise UnreadableFileError(f"{path} is no MRC file: it does not have the word MAP in its header")
    order = ">" if header[212] == 0x11 else "<"
    nx, ny, nz, mode = struct.unpack_from(order + "4i", header, 0)
    n_cells, lengths = struct.unpack_from(order + "3i", header, 28), struct.unpack_from(order + "3f", header, 40)
    axes, n_extra = struct.unpack_from(order + "3i", header, 64), struct.unpack_from(order + "i", header, 92)[0]
    if mode not in _MODES:
        raise UnreadableFileError(f"{path} has voxels of mode {mode}: only the modes {sorted(_MODES)} are read")
    if axes not in ((1, 2, 3), (0, 0, 0)):
        raise UnreadableFileError(f"{path} has its axes in the order {axes}: only x, y, z is read")
    sizes = [length / max(n, 1) * MICROMETRES["angstrom"] for n, length in zip(n_cells, lengths, strict=True)]
    dtype, size = np.dtype(order + _MODES[mode]), positive_size(sizes[::-1])
    info = ImageInfo("mrc", (nz, ny, nx), dtype, "ZYX", voxel_size_um=size)
    return MappedReader(path, info.check(path), _HEADER_BYTES + n_extra)
