"""Integers only: boxes, tiles and grids. Needs numpy and nothing else."""

from tilecore.geometry.boxes import Box
from tilecore.geometry.tiles import Tile, TileGrid

__all__ = ["Box", "Tile", "TileGrid"]
