"""TIFF files, and folders of TIFF planes."""
