"""Reading NRRD: a header of lines, an empty line, and the voxels as they are, x first."""

from __future__ import annotations

import math
import re

import numpy as np

from tilecore import UnreadableFileError
from tilecore.formats.image_info import MICROMETRES, ImageInfo, positive_size
from tilecore.formats.reader import MappedReader

__all__ = ["TYPES", "open_nrrd"]

#: Names of kinds of numbers; the first of each is the one that is written.
TYPES = {
    "i1": ("int8", "int8_t", "signed char"),
    "u1": ("uint8", "uint8_t", "uchar", "unsigned char"),
    "i2": ("int16", "int16_t", "short", "short int", "signed short"),
    "u2": ("uint16", "uint16_t", "ushort", "unsigned short"),
    "i4": ("int32", "int32_t", "int", "signed int"),
    "u4": ("uint32", "uint32_t", "uint", "unsigned int"),
    "i8": ("int64", "int64_t", "longlong", "long long"),
    "u8": ("uint64", "uint64_t", "ulonglong", "unsigned long long"),
    "f4": ("float",),
    "f8": ("double",),
}

_KINDS = {name: kind for kind, names in TYPES.items() for name in names}
_LONGEST_LINE, _MOST_LINES = 4096, 1000


def open_nrrd(path: str) -> MappedReader:
    """Map a file whose voxels are not compressed and lie in the file itself.

    Parameters
    ----------
    path : str

    Returns
    -------
    MappedReader
        A `tilecore.formats.reader.Reader`: tilecore reads boxes of it, from any process.
    """
    fields, offset = _header(path)
    if fields.get("encoding") != "raw" or "data file" in fields:
        raise UnreadableFileError(f"{path} has voxels that are compressed, or in another file: neither is read")
    try:
        order = {"little": "<", "big": ">", "": "|"}[fields.get("endian", "")]
        dtype = np.dtype(order + _KINDS[fields["type"]])
        shape = tuple([int(length) for length in fields["sizes"].split()][::-1])
    except (KeyError, ValueError) as error:
        raise UnreadableFileError(f"{path} has a header that is not understood: {error}") from error
    axes = _axes(fields, len(shape))  # without labels tilecore guesses
    info = ImageInfo("nrrd", shape, dtype, axes, voxel_size_um=_voxel_size(fields, axes or "ZYX"[-len(shape) :]))
    return MappedReader(path, info.check(path), offset)


def _header(path: str) -> tuple[dict[str, str], int]:
    """The fields of the header, and where the voxels begin."""
    fields: dict[str, str] = {}
    with open(path, "rb") as file:
        if not file.readline(_LONGEST_LINE).startswith(b"NRRD000"):
            raise UnreadableFileError(f"{path} is no NRRD file: it does not begin like one")
        for _ in range(_MOST_LINES):
            line = file.readline(_LONGEST_LINE).decode("utf-8", "replace").rstrip("\r\n")
            if not line:
                return fields, file.tell()
            name, colon, value = line.partition(": ")
            if colon and not line.startswith("#"):
                fields[name.strip().lower()] = value.strip()
    raise UnreadableFileError(f"{path} has a header without an end")


def _axes(fields: dict[str, str], ndim: int) -> str:
    """Letters of the axes, the slowest first: the labels, where they are letters; otherwise empty."""
    labels = "".join(reversed(re.findall(r'"([A-Za-z])"', fields.get("labels", "")))).upper()
    return labels if len(set(labels)) == ndim else ""


def _voxel_size(fields: dict[str, str], axes: str) -> tuple[float, float, float] | None:
    """Along z, y, x in micrometres; None if the header does not say, or says it without a unit."""
    units = re.findall(r'"([^"]*)"', fields.get("units") or fields.get("space units", ""))
    if "spacings" in fields:
        lengths = [float(length) for length in fields["spacings"].split()]
    else:
        vectors = re.findall(r"\(([^)]*)\)|none", fields.get("space directions", ""))
        lengths = [math.hypot(*map(float, vector.split(","))) if vector else math.nan for vector in vectors]
    sizes = {
        axis: length * MICROMETRES.get(unit, math.nan)
        for axis, length, unit in zip(reversed(axes), lengths, units, strict=False)
    }
    return positive_size([sizes.get(axis, math.nan) for axis in "ZYX"])
