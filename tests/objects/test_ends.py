"""Runs into object stores that are killed after each change that they make at their end: no result is ever lost."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tilecore import OutputExistsError, create_sink, map_tiles, open_source
from tilecore.formats.creating import prepare_sink
from tilecore.objects.store import ObjectStore

SHAPE = (4, 6, 6)
VOLUME = np.arange(144, dtype="u2").reshape(SHAPE)
WHOLE = np.negative(VOLUME)

#: Reads lines of a URL, whether to overwrite, and a number; forks a run that dies after so many changes in the store,
#: counted from when it begins to give its output the name.
DYING = """
import os, sys
import numpy as np
import tilecore.engine.mapping
from tests.objects.test_ends import VOLUME, options, output
from tilecore import map_tiles
from tilecore.engine import journal_objects
from tilecore.objects import store

def run(url, overwrite, last):
    n_done, plain = 0, store.ask

    def ask(url, request, doing="read"):
        nonlocal n_done
        answer = plain(url, request, doing)
        n_done += doing in ("written", "removed", "copied") and (n_done > 0 or ".unfinished" in url)
        if n_done == last:
            os._exit(9)
        return answer

    store.ask, journal_objects._BATCH_SECONDS, store.AT_ONCE = ask, 0, 1
    map_tiles(np.negative, VOLUME, out=output(url, overwrite), **options(overwrite))

for line in sys.stdin:
    url, overwrite, last = line.split()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            run(url, overwrite == "True", int(last))
            code = 0
        finally:
            os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


def options(overwrite: bool) -> dict[str, Any]:
    return {"tile_shape": (2, 6, 6), "executor": "serial", "dtype": "u2", "overwrite": overwrite}


def output(url: str, overwrite: bool) -> Any:
    """What is given as the output: of names with a 2, an OME-Zarr image of zarr's format 2."""
    if "2" not in url.rpartition("/")[2]:
        return url
    return prepare_sink(url, SHAPE, ome_zarr_version="0.4", overwrite=overwrite)


@pytest.fixture
def dying() -> Iterator[Any]:
    """Asks a process to run something that dies after some changes; tells whether it has died."""
    command = [sys.executable, "-c", DYING]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def die(url: str, overwrite: bool, last: int) -> bool:
            process.stdin.write(f"{url} {overwrite} {last}\n")
            process.stdin.flush()
            code = int(process.stdout.readline())
            assert code in (0, 9)
            return code == 9

        yield die
        process.stdin.close()


def check_resumed(url: str, *, overwrite: bool) -> None:
    result = map_tiles(np.negative, VOLUME, out=output(url, overwrite), resume=True, **options(overwrite))
    np.testing.assert_array_equal(result, WHOLE)
    np.testing.assert_array_equal(open_source(url), WHOLE)
    folder, _, name = url.rpartition("/")
    assert [key for key in ObjectStore(folder).all_keys() if not key.startswith(f"{name}/")] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "replaces", "resumes_over"),
    [
        ("out.zarr", False, False),
        ("out.zarr", False, True),
        ("out.zarr", True, True),
        ("out2.ome.zarr", True, False),
    ],
)
def test_a_kill_after_each_change(name: str, replaces: bool, resumes_over: bool, bucket: str, dying: Any) -> None:
    """The output is whole in the end; or it is refused to replace an old one, which is as it was."""
    is_over, last = False, 0
    while not is_over:
        last += 1
        url = f"{bucket}/{last}/{name}"
        if replaces:
            with create_sink(url, SHAPE, "u2", chunks=(4, 6, 6)) as sink:
                sink[...] = 7
        is_over = not dying(url, replaces, last)
        try:
            check_resumed(url, overwrite=resumes_over)
        except OutputExistsError:
            assert replaces
            assert not resumes_over
            assert (open_source(url)[...] == 7).all(), f"after {last} changes"
            check_resumed(url, overwrite=True)
    assert last > 10
