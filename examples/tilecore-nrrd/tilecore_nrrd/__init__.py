"""A sink for tilecore, and the reader of its files: NRRD volumes, as 3D Slicer and ITK use them."""

from tilecore_nrrd.reader import open_nrrd
from tilecore_nrrd.sink import NrrdSink

__all__ = ["NrrdSink", "open_nrrd"]
