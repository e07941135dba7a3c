"""Names of ``scout.utils``: ``from tilecore.compat import scout as utils``."""

from tilecore.arrays.boxed import extract_box, extract_ghosted_chunk, insert_box
from tilecore.arrays.shared_memory import SharedMemory
from tilecore.engine.chunks import pmap_chunks
from tilecore.engine.progress import verbose_print
from tilecore.formats.paths import files_in_dir, tifs_in_dir
from tilecore.formats.voxel_size import read_voxel_size
from tilecore.geometry.boxes import box_slice_idx, filter_points_in_box
from tilecore.geometry.chunks import chunk_coordinates, chunk_dims, filter_ghosted_points

__all__ = [
    "SharedMemory",
    "box_slice_idx",
    "chunk_coordinates",
    "chunk_dims",
    "extract_box",
    "extract_ghosted_chunk",
    "files_in_dir",
    "filter_ghosted_points",
    "filter_points_in_box",
    "insert_box",
    "pmap_chunks",
    "read_voxel_size",
    "tifs_in_dir",
    "verbose_print",
]
