"""Tests of the threads that share work: every item once, whatever calls run at once, and no thread stays."""

from __future__ import annotations

import gc
import multiprocessing
import os
import subprocess
import sys
import threading
import time
import weakref
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilecore import machine, spreading
from tilecore.spreading import spread, threads_for
from tilecore.testing.patience import HANGS


@pytest.fixture
def no_helpers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of other tests are not asked."""
    monkeypatch.setattr(spreading, "_helpers", spreading._Helpers())


@given(st.integers(0, 60), st.integers(0, 9))
def test_every_item_is_worked_on_once(n_items: int, n_threads: int) -> None:
    done: list[int] = []
    spread(done.append, range(n_items), n_threads)
    assert sorted(done) == list(range(n_items))


@given(st.sets(st.integers(0, 30), min_size=1), st.integers(1, 5))
def test_the_error_of_the_first_item_is_raised(wrong: set[int], n_threads: int) -> None:
    def work(item: int) -> None:
        if item in wrong:
            raise ValueError(item)

    with pytest.raises(ValueError) as error:
        spread(work, range(31), n_threads)
    assert error.value.args == (min(wrong),)


def test_threads_work_at_once() -> None:
    meeting = threading.Barrier(3, timeout=HANGS)
    spread(lambda _: meeting.wait(), range(3), 3)


def test_calls_within_calls_end() -> None:
    done: Counter[int] = Counter()

    def outer(item: int) -> None:
        spread(lambda inner: spread(lambda _: done.update([item]), range(3), 4), range(5), 4)

    spread(outer, range(6), 4)
    assert done == dict.fromkeys(range(6), 15)


@pytest.mark.usefixtures("no_helpers")
def test_calls_of_several_threads_do_not_start_more_helpers_than_one_call() -> None:
    workers: list[threading.Thread] = []

    def call() -> None:
        for _ in range(20):
            spread(lambda _: workers.append(threading.current_thread()), range(12), 4)

    threads = [threading.Thread(target=call) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(workers) == 6 * 20 * 12
    assert len(set(workers) - set(threads)) <= 3


@pytest.mark.usefixtures("no_helpers")
def test_helpers_are_kept_for_the_next_call_and_then_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def together() -> set[threading.Thread]:
        meeting, seen = threading.Barrier(2, timeout=HANGS), set[threading.Thread]()

        def work(_: int) -> None:
            meeting.wait()
            seen.add(threading.current_thread())

        spread(work, range(2), 2)
        return seen - {threading.current_thread()}

    monkeypatch.setattr(spreading, "_IDLE_SECONDS", 30.0)
    first = together()
    assert together() == first
    monkeypatch.setattr(spreading, "_IDLE_SECONDS", 0.01)
    (helper,) = together()
    helper.join(HANGS)
    assert not helper.is_alive()


def test_what_was_worked_on_is_not_kept() -> None:
    class Item:
        pass

    def work(_: Item) -> None:
        raise ValueError

    items = [Item() for _ in range(8)]
    seen = [weakref.ref(item) for item in items]
    gc.disable()
    try:
        with pytest.raises(ValueError):
            spread(work, items, 3)
        items.clear()
        deadline = time.monotonic() + HANGS
        while any(each() for each in seen) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not any(each() for each in seen)
    finally:
        gc.enable()


def _spread_in_child(answer: Any) -> None:
    meeting = threading.Barrier(3, timeout=HANGS)
    spread(lambda _: meeting.wait(), range(3), 3)
    answer.put(os.getpid())


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_process_has_helpers_of_its_own() -> None:
    meeting = threading.Barrier(3, timeout=HANGS)
    spread(lambda _: meeting.wait(), range(3), 3)
    context = multiprocessing.get_context("fork")
    answer = context.Queue()
    child = context.Process(target=_spread_in_child, args=(answer,))
    child.start()
    assert answer.get(timeout=HANGS) == child.pid
    child.join(HANGS)
    assert child.exitcode == 0


def test_the_interpreter_ends_at_once_and_work_at_its_end_is_done(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import atexit, os\n"
        "from tilecore import spreading\n"
        "spreading._IDLE_SECONDS = 1000\n"
        "atexit.register(lambda: spreading.spread(lambda n: os.write(1, b'%d\\n' % n), range(20), 4))\n"
        "spreading.spread(lambda _: None, range(20), 4)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True, timeout=HANGS)
    assert sorted(done.stdout.split(), key=int) == [str(number) for number in range(20)]
    assert done.stderr == ""


@pytest.mark.usefixtures("no_helpers")
def test_without_further_threads_the_caller_does_it_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    done: list[int] = []
    for _ in range(2):
        spread(done.append, range(9), 4)
    assert done == [*range(9), *range(9)]


def test_little_work_gets_one_thread_and_a_limit_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(machine._limits, "threads", 3)
    assert [threads_for(n_bytes) for n_bytes in (0, 2**19, 2**20, 2**40)] == [1, 1, 2, 3]
    monkeypatch.delitem(machine._limits, "threads")
    assert threads_for(2**40) == machine.usable_cores()
