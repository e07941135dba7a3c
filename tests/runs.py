"""Runs that tests of several verbs share: by every executor, and ended after some tiles."""

from __future__ import annotations

from typing import Any

import pytest

RUNS: dict[str, dict[str, Any]] = {
    "serial": {"executor": "serial"},
    "threads": {"executor": "threads", "workers": 2},
    "fork": {"start_method": "fork", "workers": 2},
    "forkserver": {"start_method": "forkserver", "workers": 2},
    "spawn": {"start_method": "spawn", "workers": 2},
}

# A worker that is spawned takes a second to start.
_SPAWN = pytest.param("spawn", marks=pytest.mark.slow)
#: Parameters of tests by every run, and by every start method.
EVERY_RUN = [_SPAWN if name == "spawn" else name for name in RUNS]
EVERY_METHOD = ["fork", "forkserver", _SPAWN]


class CancelAfter:
    """A ``cancel`` that is set once it was looked at some times."""

    def __init__(self, n_looks: int) -> None:
        self.n_looks = n_looks

    def is_set(self) -> bool:
        self.n_looks -= 1
        return self.n_looks < 0
