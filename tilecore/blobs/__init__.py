"""Blobs: points with a scale, found in tiles, in coordinates of the volume."""
