from .array_types import OutputLike, ReadableArray, SourceLike, WritableArray
from .arrays.shared import SharedArray
from .blobs.detection import detect_blobs
from .blobs.matching import Matching, colocalize, match_blobs
from .blobs.pruning import prune_blobs, prune_close
from .blobs.reading import read_blobs
from .blobs.scale_space.scales import halo_for
from .blobs.table import Blobs
from .blobs.writing import write_blobs
from .configuration import Settings, settings
from .engine.cancelling import Cancel
from .engine.collecting import collect_tiles, iter_tiles, reduce_tiles
from .engine.dataset_variable import DatasetVariable
from .engine.declared import declare
from .engine.events import (
    Event,
    Observer,
    RunEnded,
    RunEvent,
    RunStarted,
    RunWaits,
    TileDone,
    TileFailed,
    TileRetried,
)
from .engine.mapping import map_tiles
from .engine.options import RunOptions
from .engine.rechunk import rechunk
from .errors import (
    AlignmentError,
    BoundsError,
    DiskSpaceError,
    JournalError,
    MemoryBudgetError,
    MissingDependencyError,
    MissingFileError,
    NotSupportedError,
    ObjectStoreError,
    OutputExistsError,
    ParameterError,
    ParameterTypeError,
    RunCancelledError,
    SharedMemoryError,
    ShippingError,
    SourceChangedError,
    TilecoreError,
    TileError,
    TileFailure,
    UnreadableFileError,
    UnwritableFileError,
    WorkerError,
)
from .executors.base import Executor
from .executors.processes.executor import ProcessExecutor
from .executors.serial import SerialExecutor
from .executors.threads import ThreadExecutor
from .finishing import finish
from .formats.creating import create_sink
from .formats.file_sink import FileSink
from .formats.opening import open_source
from .formats.read_boxes import read_boxes
from .formats.reader import Reader
from .formats.sink import Sink
from .formats.source import FileSource, Source
from .geometry.boxes import Box
from .geometry.costs import TileCosts
from .geometry.per_axis import HaloLike
from .geometry.planning import TilePlan, plan_tiles
from .geometry.rechunking import RechunkPlan
from .geometry.tiles import Tile, TileGrid
from .recordings.mapping import map_batches
from .recordings.opening import open_recording
from .recordings.recording import Recording
from .stacks.blob_merging import merge_blobs
from .stacks.boxes import box_slice_idx, extract_box, filter_points_in_box, insert_box
from .stacks.chunks import chunk_coordinates, chunk_dims, extract_ghosted_chunk, filter_ghosted_points
from .stacks.folders import files_in_dir, tifs_in_dir
from .stacks.merging import get_split_stack_total_shape, merge_split_stack, merge_split_stack2
from .stacks.pmap import pmap_chunks
from .stacks.pools import get_mp_pool, is_fork, set_mp_start_method
from .stacks.shared_arrays import SharedArr, SharedArrsContainer, init_shared_container
from .stacks.shared_memory import SharedMemory
from .stacks.splitting import stack_splitter
from .stacks.text_files import read_voxel_size

__version__: str

# A type checker takes of a stub only what is named here.
__all__ = [
    "AlignmentError",
    "Blobs",
    "BoundsError",
    "Box",
    "box_slice_idx",
    "Cancel",
    "chunk_coordinates",
    "chunk_dims",
    "collect_tiles",
    "colocalize",
    "create_sink",
    "declare",
    "detect_blobs",
    "DatasetVariable",
    "DiskSpaceError",
    "Event",
    "Executor",
    "extract_box",
    "extract_ghosted_chunk",
    "files_in_dir",
    "FileSink",
    "FileSource",
    "filter_ghosted_points",
    "filter_points_in_box",
    "finish",
    "get_mp_pool",
    "get_split_stack_total_shape",
    "halo_for",
    "HaloLike",
    "init_shared_container",
    "insert_box",
    "is_fork",
    "iter_tiles",
    "JournalError",
    "map_batches",
    "map_tiles",
    "match_blobs",
    "Matching",
    "MemoryBudgetError",
    "merge_blobs",
    "merge_split_stack",
    "merge_split_stack2",
    "MissingDependencyError",
    "MissingFileError",
    "NotSupportedError",
    "ObjectStoreError",
    "Observer",
    "open_recording",
    "open_source",
    "OutputExistsError",
    "OutputLike",
    "ParameterError",
    "ParameterTypeError",
    "plan_tiles",
    "pmap_chunks",
    "ProcessExecutor",
    "prune_blobs",
    "prune_close",
    "read_blobs",
    "read_boxes",
    "read_voxel_size",
    "ReadableArray",
    "Reader",
    "rechunk",
    "RechunkPlan",
    "reduce_tiles",
    "Recording",
    "RunCancelledError",
    "RunEnded",
    "RunEvent",
    "RunOptions",
    "RunStarted",
    "RunWaits",
    "SerialExecutor",
    "set_mp_start_method",
    "settings",
    "Settings",
    "SharedArr",
    "SharedArray",
    "SharedArrsContainer",
    "SharedMemory",
    "SharedMemoryError",
    "ShippingError",
    "Sink",
    "Source",
    "SourceChangedError",
    "SourceLike",
    "stack_splitter",
    "ThreadExecutor",
    "tifs_in_dir",
    "Tile",
    "TilecoreError",
    "TileCosts",
    "TileDone",
    "TileError",
    "TileFailed",
    "TileFailure",
    "TileGrid",
    "TilePlan",
    "TileRetried",
    "UnreadableFileError",
    "UnwritableFileError",
    "WorkerError",
    "WritableArray",
    "write_blobs",
]
