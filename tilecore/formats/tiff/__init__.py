"""TIFF files, also as planes of a folder."""
