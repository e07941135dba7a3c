"""Tests of functions of the user's script, in the script and in children that multiprocessing starts from it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import multiprocessing
import sys

import numpy as np
import tilecore

shared = tilecore.SharedArray.from_array(np.arange(4.0))


class Pair:
    def __init__(self, low, high):
        self.low, self.high = low, high


def half(block):
    return block / 2


def pair(block):
    return Pair(block.min(), len(shared.view()))


def work(start_method):
    options = {"tile_shape": 2, "workers": 2, "start_method": start_method}
    halves = tilecore.map_tiles(half, np.ones((4, 4)), **options)
    pairs = tilecore.collect_tiles(pair, np.ones((4, 4)), **options)
    print(halves.sum(), [(type(each) is Pair, each.low, each.high) for each in pairs][:1], flush=True)


if __name__ == "__main__":
    child = multiprocessing.get_context(sys.argv[1]).Process(target=work, args=(sys.argv[2],))
    child.start()
    child.join()
    sys.exit(child.exitcode)
"""


@pytest.mark.parametrize("start_method", ["spawn", "forkserver", "fork"])
@pytest.mark.parametrize("child", ["spawn", "forkserver", "fork"])
def test_a_child_of_a_script_uses_the_scripts_functions(tmp_path: Path, child: str, start_method: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), child, start_method]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout) == (0, "8.0 [(True, np.float64(1.0), 4)]\n"), done.stderr
