"""Throttling: how many tasks of dask may hold memory at once, and names of tasks by which they are found."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
