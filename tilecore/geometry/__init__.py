"""Integers only: boxes, tiles and grids. Needs numpy and nothing else."""

from tilecore.geometry.boxes import Box, box_slice_idx, filter_points_in_box
from tilecore.geometry.chunks import chunk_coordinates, chunk_dims, filter_ghosted_points
from tilecore.geometry.tiles import Tile, TileGrid

__all__ = [
    "Box",
    "Tile",
    "TileGrid",
    "box_slice_idx",
    "chunk_coordinates",
    "chunk_dims",
    "filter_ghosted_points",
    "filter_points_in_box",
]
