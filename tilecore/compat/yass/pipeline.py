"""Names of ``yass.batch.pipeline``."""

from tilecore.recordings.pipeline import BatchPipeline, PipedTransformation

__all__ = ["BatchPipeline", "PipedTransformation"]
