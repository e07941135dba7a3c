"""All names of ``magmap.cv.chunking``, and `configure`: ``from tilecore.compat import magmap as chunking``."""

from tilecore.stacks.blob_merging import merge_blobs
from tilecore.stacks.merging import get_split_stack_total_shape, merge_split_stack, merge_split_stack2
from tilecore.stacks.pools import configure, get_mp_pool, is_fork, set_mp_start_method
from tilecore.stacks.shared_arrays import SharedArr, SharedArrsContainer, init_shared_container
from tilecore.stacks.splitting import stack_splitter

__all__ = [
    "SharedArr",
    "SharedArrsContainer",
    "configure",
    "get_mp_pool",
    "get_split_stack_total_shape",
    "init_shared_container",
    "is_fork",
    "merge_blobs",
    "merge_split_stack",
    "merge_split_stack2",
    "set_mp_start_method",
    "stack_splitter",
]
