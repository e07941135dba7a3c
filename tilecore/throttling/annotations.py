"""What tasks need, by patterns of their names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

__all__ = ["ANNOTATIONS", "Annotation"]

#: What one task needs: ``{"resources": {"MEM": 1}, "priority": 2}``, each part as wanted.
Annotation: TypeAlias = Mapping[str, Mapping[str, float] | float]

#: What tasks need by default, by patterns (regular expressions) of their names. Names that are added count, too.
ANNOTATIONS: dict[str, Annotation] = {
    "est_motion_chunk": {"resources": {"MEM": 1}},
    "from-zarr-store": {"resources": {"MEM": 1}},
    "ks_perseed": {"resources": {"MEM": 0.5}},
    "load_avi_ffmpeg": {"resources": {"MEM": 1}},
    "merge_restricted": {"resources": {"MEM": 1}},
    "pnr_perseed": {"resources": {"MEM": 0.5}},
    "smooth_corr": {"resources": {"MEM": 1}},
    "tensordot_restricted": {"resources": {"MEM": 1}},
    "transform_perframe": {"resources": {"MEM": 0.5}},
    "update_spatial_block": {"resources": {"MEM": 1}},
    "update_temporal_block": {"resources": {"MEM": 1}},
    "vectorize_noise_fft": {"resources": {"MEM": 1}},
    "vectorize_noise_welch": {"resources": {"MEM": 1}},
}
