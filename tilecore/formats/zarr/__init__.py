"""zarr, OME-Zarr and N5."""
