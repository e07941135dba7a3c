"""The check whether regions that are asked for fit into the free memory."""

from __future__ import annotations

from tilecore.bytesize import format_bytes
from tilecore.errors import MemoryBudgetError
from tilecore.machine import available_memory

__all__ = ["check_memory"]

# Size up to which regions are read without a look at the free memory [byte].
_SMALL_BYTES = 2**26


def check_memory(n_bytes: int, what: str) -> None:
    """Refuse voxels that do not fit into the free memory.

    Raises
    ------
    MemoryBudgetError
        If they do not; the message says how large they are.
    """
    if n_bytes > _SMALL_BYTES and n_bytes > available_memory():
        raise MemoryBudgetError(f"{what} need {format_bytes(n_bytes)}, more than is free; read smaller regions")
