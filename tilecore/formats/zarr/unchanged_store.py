"""A zarr store that is read as it was opened: one that was replaced meanwhile raises an error."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zarr.storage import LocalStore

from tilecore.errors import SourceChangedError

if TYPE_CHECKING:
    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype

__all__ = ["GROUP_FILES", "UnchangedStore"]

#: Files that describe a zarr group, in the formats 3 and 2.
GROUP_FILES = ("zarr.json", ".zgroup")


class UnchangedStore(LocalStore):
    """The store of a variable, for reading.

    An array that is read later would find other chunks under the same names, or none, which zarr takes for NaN.

    Parameters
    ----------
    root : Path
        Folder of the group.
    read_only : bool
        It is always read only; zarr asks for this parameter.
    stamp : tuple of int, optional
        The time of change of the group's own file when it was opened; default: the one now. Who changes metadata
        alone keeps it.

    Notes
    -----
    Process-safety: any process may replace the store at any time.
    """

    def __init__(self, root: Path | str, *, read_only: bool = True, stamp: tuple[int, ...] | None = None) -> None:
        super().__init__(root, read_only=read_only)
        self.stamp = _stamp(self.root) if stamp is None else stamp

    def with_read_only(self, read_only: bool = False) -> UnchangedStore:
        """The same store."""
        return type(self)(self.root, read_only=read_only, stamp=self.stamp)

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Read a file."""
        content = await super().get(key, prototype, byte_range)
        self._check()
        return content

    def get_sync(
        self, key: str, *, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Read a file."""
        content = super().get_sync(key, prototype=prototype, byte_range=byte_range)
        self._check()
        return content

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Read parts of files."""
        parts = await super().get_partial_values(prototype, key_ranges)
        self._check()
        return parts

    def _check(self) -> None:
        if _stamp(self.root) != self.stamp:
            raise SourceChangedError(f"{self.root} was replaced after it was opened: open it again")

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return (str(self.root), self.stamp)


def _stamp(root: Path) -> tuple[int, ...]:
    for name in GROUP_FILES:
        try:
            found = os.stat(root / name)
        except OSError:  # it has the other format, or was removed
            continue
        return found.st_dev, found.st_mtime_ns
    return ()
