"""The executor keeps tilecore's contract: run ``pytest`` once the package is installed."""

import os

import numpy as np
import pytest
from tilecore_nice import NiceExecutor

from tilecore import ParameterError, collect_tiles
from tilecore.executors.base import create_executor
from tilecore.testing import ExecutorContract


class TestNice(ExecutorContract):
    def make(self, **options):
        return NiceExecutor(**options)


@pytest.mark.parametrize("start_method", ["fork", "forkserver"])
def test_workers_have_a_low_priority(start_method):
    executor = create_executor("nice", workers=2, start_method=start_method)
    mine = os.getpriority(os.PRIO_PROCESS, 0)
    found = collect_tiles(
        lambda block: os.getpriority(os.PRIO_PROCESS, 0), np.zeros(8), tile_shape=1, executor=executor
    )
    assert set(found) == {min(mine + 10, 19)}
    assert os.getpriority(os.PRIO_PROCESS, 0) == mine


def test_a_niceness_that_is_none():
    with pytest.raises(ParameterError, match="niceness=0"):
        NiceExecutor(niceness=0)
