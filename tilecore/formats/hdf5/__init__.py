"""HDF5 files: reading and writing of datasets."""
