"""Names of ``yass.batch``: batches of recordings."""

from tilecore.recordings import (
    BatchPipeline,
    BatchProcessor,
    BinaryReader,
    MemoryMap,
    PipedTransformation,
    RecordingsReader,
)

__all__ = [
    "BatchPipeline",
    "BatchProcessor",
    "BinaryReader",
    "MemoryMap",
    "PipedTransformation",
    "RecordingsReader",
]
