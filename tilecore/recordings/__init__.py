"""Recordings: samples of many channels over a long time, worked on in batches."""
