"""Recordings to be written into files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tilecore.compat.yass import BatchProcessor

ORDERS = ("channels", "samples")
LOADERS = ("memmap", "array", "python")


def made(n_observations: int = 100, n_channels: int = 4, dtype: Any = "int16", seed: int = 0) -> Any:
    """Numbers of a recording, of shape (observations, channels)."""
    generator = np.random.default_rng(seed)
    return generator.integers(-1000, 1000, (n_observations, n_channels)).astype(dtype)


def write(path: Path, data: Any, order: str = "samples") -> Path:
    """Write the numbers in an order."""
    (data if order == "samples" else data.T).tofile(path)
    return path


def processor(folder: Path, data: Any, order: str = "samples", **options: Any) -> BatchProcessor:
    """Write a recording, and open it."""
    path = write(folder / "raw.bin", data, order)
    given = {"show_progress_bar": False, **options}
    return BatchProcessor(path, dtype=data.dtype, n_channels=data.shape[1], data_order=order, **given)


def content(folder: Path) -> dict[str, bytes]:
    """What is in a folder, by name."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
