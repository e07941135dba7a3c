"""Extents: places where an array's voxels lie, to find out whether two arrays share voxels."""

from __future__ import annotations

import itertools
import os
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tilecore.objects.urls import is_url

__all__ = ["Extent", "in_file", "in_memory", "of_files", "of_object", "overlap", "repeats"]

# Limit on the work to find out whether two arrays share a voxel; beyond it, their ranges are compared.
_MOST_WORK = 10**6

# First address of stand-ins for arrays in files: no array may begin at address 0.
_FIRST = 2**40


@dataclass(frozen=True)
class Extent:
    """Part of a space that holds voxels.

    Attributes
    ----------
    space : hashable
        This process's memory, a file or folder (by device and inode number), or an object.
    voxels : ndarray or None
        Array at the place of the voxels, used only for comparison and never read.
        None: the voxels may lie anywhere in the space.
    """

    space: Hashable
    voxels: npt.NDArray[Any] | None = None


class _StandIn:
    """Array interface at any address, for memory that need not exist."""

    def __init__(self, first: int, array: npt.NDArray[Any]) -> None:
        self.__array_interface__ = {
            "data": (first, True),
            "shape": array.shape,
            "strides": array.strides,
            "typestr": f"|V{array.dtype.itemsize}",
            "version": 3,
        }


def in_memory(array: npt.NDArray[Any]) -> Extent:
    """Extent of an array in this process's memory."""
    return Extent("memory", array)


def in_file(device: int, inode: int, first: int, array: npt.NDArray[Any]) -> Extent:
    """Extent of an array in a file; its voxel at index zero begins at byte `first`."""
    stand_in = np.asarray(_StandIn(_FIRST + first, array)) if array.dtype.itemsize else None
    return Extent(("file", device, inode), stand_in)


def of_files(paths: Iterable[str]) -> tuple[Extent, ...]:
    """Extents of whole files and folders, by whatever names they are called; missing files are left out.

    What lies in an object store is told by its URL.
    """
    extents = []
    for path in paths:
        if is_url(path):
            extents.append(Extent(("url", path.rstrip("/"))))
            continue
        try:
            status = os.stat(path)
        except OSError:
            continue
        extents.append(Extent(("file", status.st_dev, status.st_ino)))
    return tuple(extents)


def of_object(item: object, part: Hashable = None) -> Extent:
    """Extent of an object of this process that keeps its voxels itself."""
    return Extent(("object", id(item), part))


def overlap(one: Sequence[Extent], other: Sequence[Extent]) -> bool:
    """Whether two arrays share a voxel, as far as can be told."""
    return any(mine.space == yours.space and _meet(mine.voxels, yours.voxels) for mine in one for yours in other)


def repeats(extent: Extent) -> bool:
    """Whether several voxels of an array lie in the same place, as with a stride of zero."""
    array = extent.voxels
    if array is None or array.size == 0:
        return False
    steps = sorted((abs(step), length) for step, length in zip(array.strides, array.shape, strict=True) if length > 1)
    ends = itertools.accumulate((step * (length - 1) for step, length in steps), initial=array.dtype.itemsize)
    return any(step < end for (step, _), end in zip(steps, ends, strict=False))


def _meet(one: npt.NDArray[Any] | None, other: npt.NDArray[Any] | None) -> bool:
    if one is None or other is None:
        return True
    try:
        return bool(np.shares_memory(one, other, max_work=_MOST_WORK))  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True
