"""Readers and sinks for zarr, OME-Zarr and N5."""
