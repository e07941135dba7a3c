"""Names of ``yass.batch``: batches of recordings."""

from tilecore.recordings.binary import BinaryReader, MemoryMap
from tilecore.recordings.pipeline import BatchPipeline, PipedTransformation
from tilecore.recordings.processor import BatchProcessor
from tilecore.recordings.reader import RecordingsReader

__all__ = [
    "BatchPipeline",
    "BatchProcessor",
    "BinaryReader",
    "MemoryMap",
    "PipedTransformation",
    "RecordingsReader",
]
