"""Datasets: labelled arrays that a pipeline keeps in a folder between its steps."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
