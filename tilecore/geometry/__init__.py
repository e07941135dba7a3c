"""Geometry of boxes, tiles and grids, in integers only. Needs numpy and nothing else."""

from tilecore.geometry.boxes import Box
from tilecore.geometry.tiles import Tile, TileGrid

__all__ = ["Box", "Tile", "TileGrid"]
