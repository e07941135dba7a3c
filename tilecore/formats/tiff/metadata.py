"""Metadata of TIFF files: from OME-XML, ImageJ and tifffile."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from tilecore.formats.image_info import MICROMETRES, positive_size

if TYPE_CHECKING:
    from tifffile import TiffFile

__all__ = ["NAMESPACE", "as_written", "linked_files", "physical"]

#: Name of the notes in OME-XML that tell what OME-XML itself has no place for.
NAMESPACE = "tilecore"


def physical(tif: TiffFile, number: int) -> tuple[tuple[float, float, float] | None, tuple[str, ...]]:
    """Read the voxel size along z, y, x [um] and the names of the channels, as far as the file has them.

    The depth of a plane that is alone is taken for 1 um.

    Parameters
    ----------
    tif : tifffile.TiffFile
        The open file.
    number : int
        Number of the series.
    """
    if tif.is_ome:
        return _of_ome(tif.ome_metadata or "", number)
    if tif.is_lsm:
        described = tif.lsm_metadata or {}
        metres = [described.get(f"VoxelSize{axis}", 0) for axis in "ZYX"]
        return positive_size([size * MICROMETRES["m"] for size in metres]), ()
    if tif.is_svs:
        um = re.search(r"MPP = ([0-9.]+)", tif.pages.first.description)
        return positive_size([1, um[1], um[1]] if um and number == 0 else ()), ()
    if tif.is_imagej:
        return _of_imagej(tif), ()
    if tif.is_shaped:
        series = tif.shaped_metadata or ()
        described = series[number] if number < len(series) else {}
        names = described.get("channel_names", ())
        return positive_size(described.get("voxel_size_um") or ()), tuple(map(str, names))
    return None, ()


def as_written(tif: TiffFile, number: int) -> tuple[str, bool]:
    """Read what `TiffSink` has noted of a series: its axes, with those of length 1, and whether its voxels are bool.

    Parameters
    ----------
    tif : tifffile.TiffFile
        The open file.
    number : int
        Number of the series.

    Returns
    -------
    str
        One letter per axis; empty if there is no note.
    bool
    """
    if tif.is_ome and f'"{NAMESPACE}"' in (xml := tif.ome_metadata or "") and number == 0:
        root = ET.fromstring(xml)
        maps = [
            each for each in root.iter() if each.tag.endswith("MapAnnotation") and each.get("Namespace") == NAMESPACE
        ]
        notes = {entry.get("K"): entry.text or "" for each in maps for entry in each.iter() if entry.tag.endswith("}M")}
        return notes.get("axes", ""), notes.get("dtype") == "bool"
    if tif.is_shaped and not tif.is_ome and number < len(series := tif.shaped_metadata or ()):
        return "", series[number].get("dtype") == "bool"
    return "", False


def linked_files(ome_xml: str) -> list[str]:
    """Names of the other files that hold parts of an OME-TIFF image."""
    return re.findall(r"""(?:FileName|MetadataFile)\s*=\s*["']([^"']*)["']""", ome_xml)


def _of_ome(xml: str, number: int) -> tuple[tuple[float, float, float] | None, tuple[str, ...]]:
    root = ET.fromstring(xml)
    images = [element for element in root if element.tag.endswith("}Image") or element.tag == "Image"]
    pixels = next((each for each in images[min(number, len(images) - 1)] if each.tag.endswith("Pixels")), None)
    if pixels is None:
        return None, ()
    sizes = [_times(pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit", "um")) for axis in "ZYX"]
    names = [channel.get("Name") for channel in pixels if channel.tag.endswith("Channel")]
    if sizes[0] is None and pixels.get("SizeZ") == "1":
        sizes[0] = 1.0
    return positive_size(sizes), tuple(names) if all(names) else ()  # type: ignore[arg-type]


def _of_imagej(tif: TiffFile) -> tuple[float, float, float] | None:
    described = tif.imagej_metadata or {}
    factor = MICROMETRES.get(str(described.get("unit", "")))
    if factor is None:
        return None
    sizes = [described.get("spacing", 1.0)]
    for name in ("YResolution", "XResolution"):
        tag = tif.pages.first.tags.get(name)
        if tag is None or not tag.value[0]:
            return None
        sizes.append(tag.value[1] / tag.value[0])
    return positive_size([size * factor for size in sizes])


def _times(size: str | None, unit: str) -> float | None:
    factor = MICROMETRES.get(unit)
    return None if size is None or factor is None else float(size) * factor
