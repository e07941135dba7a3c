"""Recordings: samples of many channels over a long time, worked on in batches."""

from tilecore.recordings.mapping import map_batches
from tilecore.recordings.opening import open_recording
from tilecore.recordings.recording import Recording

__all__ = ["Recording", "map_batches", "open_recording"]
