"""Contracts for executors, readers, sinks and detectors that other packages bring: each is a class of tests.

Derive a class from one of them, say how the thing under test is had, and run pytest. The contracts need
``pip install "tilecore[testing]"``; nothing else of tilecore imports them.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import TYPE_CHECKING, Any

from tilecore.extras import needs_extra
from tilecore.testing.leaks import nothing_left, start_what_stays

if TYPE_CHECKING:
    from tilecore.testing.detectors import DetectorContract
    from tilecore.testing.executors.contract import ExecutorContract
    from tilecore.testing.readers import ReaderContract
    from tilecore.testing.sinks.contract import SinkContract

__all__ = [
    "DetectorContract",
    "ExecutorContract",
    "ReaderContract",
    "SinkContract",
    "nothing_left",
    "start_what_stays",
]

# Where each contract is. They import pytest, so that they are imported when they are asked for.
_CONTRACTS = {
    "DetectorContract": "detectors",
    "ExecutorContract": "executors.contract",
    "ReaderContract": "readers",
    "SinkContract": "sinks.contract",
}


def __getattr__(name: str) -> Any:
    """Import a contract."""
    if name not in _CONTRACTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if importlib.util.find_spec("pytest") is None:
        raise needs_extra(__name__, "pytest", "testing")
    import pytest

    room = f"{__name__}.{_CONTRACTS[name].partition('.')[0]}"
    if room not in sys.modules:  # what an assertion compares is shown when it fails, as in test files
        pytest.register_assert_rewrite(room)
    return getattr(importlib.import_module(f"{__name__}.{_CONTRACTS[name]}"), name)
