"""Names of ``minian.utilities`` for dask: annotations, names of tasks, and optimisers."""

from tilecore.throttling import (
    ANNOTATIONS,
    FAST_FUNCTIONS,
    TaskAnnotation,
    custom_arr_optimize,
    custom_delay_optimize,
    custom_fused_keys_renamer,
    get_keys_pat,
    inline_pattern,
    optimize_chunk,
    rewrite_key,
    split_key,
    unique_keys,
)

__all__ = [
    "ANNOTATIONS",
    "FAST_FUNCTIONS",
    "TaskAnnotation",
    "custom_arr_optimize",
    "custom_delay_optimize",
    "custom_fused_keys_renamer",
    "get_keys_pat",
    "inline_pattern",
    "optimize_chunk",
    "rewrite_key",
    "split_key",
    "unique_keys",
]
