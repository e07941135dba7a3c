"""What the file of an output tells about its image, taken from the source."""

from __future__ import annotations

from typing import Any

from tilecore.formats.image_info import ImageInfo, level_origin_um
from tilecore.formats.recorded import NOT_TOLD
from tilecore.geometry.placement import Placement

__all__ = ["described"]


def described(info: ImageInfo | None, placement: Placement) -> dict[str, Any]:
    """Metadata of an image that are still true after its axes were scaled, dropped or added."""
    if info is None:
        return {}
    recorded = info.recorded if set(placement.scale) <= {1} else NOT_TOLD
    if placement.added:
        return {"recorded": recorded.of_time}
    axes = "".join([name for axis, name in enumerate(info.axes) if axis not in placement.dropped])
    factors = dict(zip(info.axes, placement.scale, strict=True))
    size = info.voxel_size_um
    if size is not None:
        z, y, x = [float(each / factors.get(axis, 1)) for each, axis in zip(size, "ZYX", strict=True)]
        size = (z, y, x)
    # What is scaled begins at the same edge, as the levels of a pyramid do.
    moved = level_origin_um(info.voxel_size_um, size)
    origin = [at + shift for at, shift in zip(info.origin_um, moved, strict=True)]
    told: dict[str, Any] = {"axes": None if info.axes_are_guessed else axes, "voxel_size_um": size}
    told |= {} if size is None else {"origin_um": origin}
    if "C" not in axes:
        return {**told, "recorded": recorded.of_time}
    return {**told, "channel_names": info.channel_names, "recorded": recorded}
