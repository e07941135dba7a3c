"""TIFF files, and folders of planes."""
