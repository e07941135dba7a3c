"""Run any function over an image volume larger than memory, tile by tile, on every core.

Every public name can be imported from here. ``__init__.pyi`` lists them; the module that
holds a name is imported when the name is first used, so that ``import tilecore`` imports
numpy and no other large package.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
