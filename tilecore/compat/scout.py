"""All names of ``scout.utils``, also undocumented ones: ``from tilecore.compat import scout as utils``."""

from tilecore.stacks.boxes import box_slice_idx, extract_box, filter_points_in_box, insert_box
from tilecore.stacks.chunks import chunk_coordinates, chunk_dims, extract_ghosted_chunk, filter_ghosted_points
from tilecore.stacks.folders import files_in_dir, tifs_in_dir
from tilecore.stacks.messages import verbose_print
from tilecore.stacks.pmap import pmap_chunks
from tilecore.stacks.shared_memory import SharedMemory
from tilecore.stacks.text_files import read_csv, read_json, read_voxel_size, write_csv

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
    "read_csv",
    "read_json",
    "read_voxel_size",
    "tifs_in_dir",
    "verbose_print",
    "write_csv",
]
