from .annotations import ANNOTATIONS
from .graphs import inline_pattern
from .names import custom_fused_keys_renamer, get_keys_pat, rewrite_key, split_key, unique_keys
from .optimizing import FAST_FUNCTIONS, custom_arr_optimize, custom_delay_optimize, optimize_chunk
from .plugin import TaskAnnotation
from .throttle import throttle

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
    "throttle",
    "unique_keys",
]
