"""How image files, and those in the making, are reached by workers."""

from __future__ import annotations

from typing import Any

from tilecore.arrays.access import Access, Reach
from tilecore.arrays.extents import Extent, of_files
from tilecore.arrays.file_stamps import describe_files
from tilecore.arrays.kinds import WriterAccess, access_of

__all__ = ["FileAccess", "SinkAccess"]


class FileAccess(Access):
    """A file that each worker opens for itself, or maps, where its voxels lie in it as they are."""

    @property
    def extents(self) -> tuple[Extent, ...]:
        """The mapped part of the file, or its files as a whole."""
        return of_files(self.array.files) if self.array.mapped is None else access_of(self.array.mapped).extents

    def content(self) -> dict[str, Any]:
        """What the files say of themselves, and what of them this is."""
        return self.stamps() | {"selection": self.array.selection}

    def stamps(self) -> dict[str, Any]:
        """Names, sizes and times of change of the files."""
        return describe_files(self.array.path, self.array.files)

    def readable(self, reach: Reach) -> object:
        """The map of the file, or the descriptor of it."""
        mapped = self.array.mapped
        return super().readable(reach) if mapped is None else access_of(mapped).readable(reach)


class SinkAccess(WriterAccess):
    """A sink that was created, by its target where every process can open that."""

    @property
    def extents(self) -> tuple[Extent, ...]:
        """What is written."""
        return of_files([str(self.array.place.data)])

    def writable(self, reach: Reach) -> Any | None:
        """The target; None if only one process can write it."""
        if self.array.single_writer:
            return self.array if reach == "same" else None
        return access_of(self.array.target).writable(reach)
