from .binary import BinaryReader, MemoryMap
from .mapping import map_batches
from .opening import open_recording
from .pipeline import BatchPipeline, PipedTransformation
from .processor import BatchProcessor
from .reader import RecordingsReader
from .recording import Recording

__all__ = [
    "BatchPipeline",
    "BatchProcessor",
    "BinaryReader",
    "MemoryMap",
    "PipedTransformation",
    "Recording",
    "RecordingsReader",
    "map_batches",
    "open_recording",
]
