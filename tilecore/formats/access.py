"""Access of workers to image files, complete ones and those being written."""

from __future__ import annotations

from typing import Any

from tilecore.arrays.access import Access, Reach
from tilecore.arrays.extents import Extent, of_files
from tilecore.arrays.file_stamps import describe_files
from tilecore.arrays.kinds import WriterAccess, access_of
from tilecore.objects.urls import is_of_one_process

__all__ = ["FileAccess", "SinkAccess"]


class FileAccess(Access):
    """An image file that each worker opens for itself, or maps if its voxels are stored as plain bytes."""

    @property
    def extents(self) -> tuple[Extent, ...]:
        """The mapped range of the file, or all of its files as a whole."""
        return of_files(self.array.files) if self.array.mapped is None else access_of(self.array.mapped).extents

    def verify(self) -> None:
        """Open the file in this process."""
        self.array[(slice(0, 0),) * len(self.array.shape)]

    def content(self) -> dict[str, Any]:
        """Sizes and times of the files, and the part of them that this source selects."""
        return self.stamps() | {"selection": self.array.selection}

    def stamps(self) -> dict[str, Any]:
        """Names, sizes and times of change of the files."""
        return describe_files(self.array.path, self.array.files)

    def readable(self, reach: Reach) -> object | None:
        """The file's memory map, or the file's descriptor; None if other processes cannot open it."""
        if reach != "same" and is_of_one_process(self.array.path):
            return None
        mapped = self.array.mapped
        return super().readable(reach) if mapped is None else access_of(mapped).readable(reach)


class SinkAccess(WriterAccess):
    """A sink that has been created; workers write into its target if every process can open it."""

    @property
    def extents(self) -> tuple[Extent, ...]:
        """The file or folder that is being written."""
        return of_files([str(self.array.place.data)])

    def writable(self, reach: Reach) -> Any | None:
        """The target of the sink; None if only one process, or one machine, can write it."""
        if self.array.single_writer or is_of_one_process(str(self.array.path)):
            return self.array if reach == "same" else None
        if reach == "elsewhere" and not self.array.several_hosts:
            return None
        return access_of(self.array.target).writable(reach)
