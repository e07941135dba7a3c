"""Run any function over an image volume larger than memory, tile by tile, on every core.

Every public name can be imported from here; the module that holds it is loaded when
the name is first used, so that ``import tilecore`` costs numpy and no more.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tilecore._version import __version__
