"""Names of ``minian.utilities`` for chunks and numbers."""

from tilecore.datasets.chunk_lengths import get_chk, get_chunksize, get_optimal_chk, rechunk_like
from tilecore.filters.baselines import med_baseline
from tilecore.filters.local_extremes import local_extreme
from tilecore.geometry.factoring import factors

__all__ = [
    "factors",
    "get_chk",
    "get_chunksize",
    "get_optimal_chk",
    "local_extreme",
    "med_baseline",
    "rechunk_like",
]
