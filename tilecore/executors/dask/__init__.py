"""Executor that runs tasks on a cluster of dask, on this machine or on many."""
