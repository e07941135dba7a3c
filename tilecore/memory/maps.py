"""Memory maps of this process: which file is mapped at an address."""

from __future__ import annotations

import contextlib
from pathlib import Path

__all__ = ["inode_at"]


def inode_at(address: int) -> int | None:
    """Inode number of the file that is mapped at an address, even if its name is gone; None if it is not known."""
    with contextlib.suppress(OSError), Path("/proc/self/maps").open(errors="replace") as lines:  # Linux
        for line in lines:
            first, _, rest = line.partition("-")
            last, _, _ = rest.partition(" ")
            if address < int(last, 16):
                return (int(line.split(maxsplit=5)[4]) or None) if address >= int(first, 16) else None
    return None
