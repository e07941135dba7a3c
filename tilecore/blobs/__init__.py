"""Blobs: detection in tiles, tables of blobs, pruning, matching, and files."""
