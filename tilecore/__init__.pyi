from .arrays.boxed import extract_box, extract_ghosted_chunk, insert_box
from .arrays.containers import SharedArr, SharedArrsContainer, init_shared_container
from .arrays.shared import SharedArray
from .arrays.shared_memory import SharedMemory
from .blobs.detection import detect_blobs
from .blobs.matching import Matching, colocalize, match_blobs
from .blobs.merging import merge_blobs
from .blobs.pruning import prune_blobs, prune_close
from .blobs.reading import read_blobs
from .blobs.scale_space.scales import halo_for
from .blobs.table import Blobs
from .blobs.writing import write_blobs
from .configuration import Settings, settings
from .engine.chunks import pmap_chunks
from .engine.collecting import collect_tiles, iter_tiles, reduce_tiles
from .engine.declared import declare
from .engine.mapping import map_tiles
from .engine.stacks import get_split_stack_total_shape, merge_split_stack, merge_split_stack2, stack_splitter
from .errors import (
    AlignmentError,
    BoundsError,
    DiskSpaceError,
    JournalError,
    MemoryBudgetError,
    MissingDependencyError,
    MissingFileError,
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
from .executors.processes.start_method import get_mp_pool, is_fork, set_mp_start_method
from .formats.creating import create_sink
from .formats.opening import open_source
from .formats.paths import files_in_dir, tifs_in_dir
from .formats.sink import Sink
from .formats.source import Source
from .formats.voxel_size import read_voxel_size
from .geometry.boxes import Box, box_slice_idx, filter_points_in_box
from .geometry.chunks import chunk_coordinates, chunk_dims, filter_ghosted_points
from .geometry.costs import TileCosts
from .geometry.planning import TilePlan, plan_tiles
from .geometry.tiles import Tile, TileGrid

__version__: str
