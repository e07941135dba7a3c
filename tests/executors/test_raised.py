"""Tests of exceptions that cannot simply be sent: they arrive with their type, or its name, and with their text."""

from __future__ import annotations

import _thread
import pickle
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest

from tilecore import ShippingError, TileError, map_tiles, pmap_chunks, settings
from tilecore.executors.processes import raised
from tilecore.executors.processes.raised import pack_raised


class MoreArgumentsError(Exception):
    """Cannot be unpacked: its ``__init__`` needs two arguments, and has one text of them."""

    def __init__(self, what: str, number: int) -> None:
        super().__init__(f"{what} is {number}")
        self.number = number


class ComposedError(Exception):
    """Would have another text when it is unpacked."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no {name}")


class LockedError(KeyError):
    """Cannot be packed."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.lock, self.number = threading.Lock(), 7


class LockedArgumentError(ValueError):
    def __init__(self, text: str) -> None:
        super().__init__(threading.Lock())
        self.text = text

    def __str__(self) -> str:
        return self.text


class RaisingError(Exception):
    def __reduce__(self) -> Any:
        raise RuntimeError("no pickle")


class HangingError(Exception):
    def __reduce__(self) -> Any:
        threading.Event().wait()


class NeedingError(Exception):
    """Has a text only with what cannot be packed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.lock = threading.Lock()
        self.keeper = [self.lock, text]

    def __str__(self) -> str:
        return str(self.keeper[1])


class PathError(OSError):
    def __init__(self, path: str, *, reason: str) -> None:
        super().__init__(2, reason, path)


class Thing:
    """Has its address in its text."""


class NumberedThing:
    """Has another text once it is unpacked."""

    def __repr__(self) -> str:
        return f"thing {id(self)}"


class PlainError(Exception):
    pass


def make_local(lock: Any) -> Exception:
    """Its class cannot be packed, either."""

    class LocalError(ValueError):
        kept = lock

    return LocalError("of no module")


MADE = {
    "MoreArgumentsError": lambda: MoreArgumentsError("it", 5),
    "ComposedError": lambda: ComposedError("such thing"),
    "LockedError": lambda: LockedError("a key"),
    "LockedArgumentError": lambda: LockedArgumentError("an argument"),
    "RaisingError": lambda: RaisingError("a text"),
    "NeedingError": lambda: NeedingError("a text"),
    "PathError": lambda: PathError("here", reason="gone"),
    "LocalError": lambda: make_local(threading.Lock()),
    "ExceptionGroup": lambda: ExceptionGroup("two", [ValueError("one"), LockedError("other")]),
    "UnicodeDecodeError": lambda: UnicodeDecodeError("ascii", b"\xff", 0, 1, "because"),
    "ValueError": lambda: ValueError("x" * 10**6),
}


@pytest.mark.parametrize("name", MADE)
def test_name_text_and_base_arrive(name: str) -> None:
    error = MADE[name]()
    content = pack_raised(error)
    assert content is not None
    found = pickle.loads(content)
    assert (type(found).__name__, str(found)) == (name, str(error))
    bases = {"LockedError": KeyError, "LockedArgumentError": ValueError, "PathError": OSError, "LocalError": ValueError}
    assert isinstance(found, bases.get(name, Exception))
    again = pack_raised(found)
    assert again is not None
    assert str(pickle.loads(again)) == str(error)


def test_the_class_itself_arrives_where_it_can_with_what_can_be_packed() -> None:
    kinds = {"MoreArgumentsError", "ComposedError", "LockedError", "LockedArgumentError", "RaisingError"}
    for name in kinds:
        found = pickle.loads(pack_raised(MADE[name]()) or b"")
        assert type(found) is globals()[name]
    assert pickle.loads(pack_raised(MoreArgumentsError("it", 5)) or b"").number == 5
    locked = pickle.loads(pack_raised(LockedError("a key")) or b"")
    assert (locked.number, hasattr(locked, "lock")) == (7, False)


def test_addresses_in_the_text_do_not_make_another_class() -> None:
    found = pickle.loads(pack_raised(PlainError("bad", Thing())) or b"")
    assert type(found) is PlainError
    assert (found.args[0], type(found.args[1])) == ("bad", Thing)


def test_a_class_whose_arguments_change_their_text_keeps_its_class() -> None:
    error = PlainError("bad", NumberedThing())
    found = pickle.loads(pack_raised(error) or b"")
    assert type(found) is PlainError
    assert str(found) == str(error)


def test_every_executor_raises_the_same_class(run: dict[str, Any]) -> None:
    def fail(block: np.ndarray) -> np.ndarray:
        raise PlainError("bad", Thing())

    with pytest.raises(TileError) as caught:
        map_tiles(fail, np.zeros((4, 4)), tile_shape=(2, 4), retries=0, progress=False, **run)
    assert type(caught.value.__cause__) is PlainError


def test_plain_exceptions_need_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a thread was started")

    monkeypatch.setattr(_thread, "start_new_thread", refuse)
    for error in (ValueError("x", 1), PlainError("x"), OSError(2, "gone", "here")):
        found = pickle.loads(pack_raised(error) or b"")
        assert (type(found), found.args, str(found)) == (type(error), error.args, str(error))
    with pytest.raises(AssertionError, match="a thread"):
        pack_raised(RaisingError("x"))


def test_without_memory_nothing_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that has no memory to begin is waited for without an end."""

    class TightError(MemoryError):
        def __str__(self) -> str:
            return "no room for that"

    monkeypatch.setattr(_thread, "start_new_thread", lambda *_: pytest.fail("a thread was started"))
    found = pickle.loads(pack_raised(TightError(3)) or b"")
    assert isinstance(found, MemoryError)
    assert (type(found).__name__, str(found)) == ("TightError", "no room for that")


def test_a_thread_that_never_begins_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_thread, "start_new_thread", lambda *_: 0)
    monkeypatch.setattr(raised, "_PATIENCE_SECONDS", 0.01)
    assert pack_raised(RaisingError("x")) is None


def test_an_exception_that_never_ends_packing_itself_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raised, "_PATIENCE_SECONDS", 0.2)
    found = pickle.loads(pack_raised(HangingError("for ever")) or b"")
    assert (type(found), str(found)) == (HangingError, "for ever")


def test_errors_are_told_alike_where_a_library_has_changed_how_they_are_pickled() -> None:
    """Importing distributed makes every exception carry a copy of its traceback."""
    code = """
import distributed.utils
import numpy as np
from tilecore import pmap_chunks, settings

def fail(arr, start, chunks):
    raise ValueError("no")

with settings.override(start_method="fork"):
    try:
        pmap_chunks(fail, np.zeros((4, 4)), (2, 4), 2)
    except ValueError as error:
        print("in fail" in "".join(error.__notes__))
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert told.stdout.split() == ["True"], told


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_pmap_chunks_raises_what_the_function_raised(name: str, method: str) -> None:
    def fail(arr: Any, start: Any, chunks: Any) -> None:
        raise MADE[name]()

    with settings.override(start_method=method), pytest.raises(Exception) as caught:
        pmap_chunks(fail, np.zeros((4, 4)), (2, 4), 2)
    assert (type(caught.value).__name__, str(caught.value)) == (name, str(MADE[name]()))
    notes = "\n".join(caught.value.__notes__)
    assert "[0:2, 0:4]" in notes or "[2:4, 0:4]" in notes
    assert "in fail" in notes


@pytest.mark.parametrize("name", MADE)
def test_every_executor_names_it(name: str, run: dict[str, Any]) -> None:
    def fail(block: np.ndarray) -> np.ndarray:
        raise MADE[name]()

    with pytest.raises(TileError) as caught:
        map_tiles(fail, np.zeros((4, 4)), tile_shape=(2, 4), retries=0, progress=False, **run)
    assert caught.value.failures[0].attempts == 1
    assert name in caught.value.failures[0].reason
    assert "in fail" in caught.value.failures[0].traceback
    cause = caught.value.__cause__
    assert (type(cause).__name__, str(cause)) == (name, str(MADE[name]()))


class LockedResult:
    """Cannot be packed."""

    def __init__(self) -> None:
        self.lock = threading.Lock()


class LostResult:
    """Can be packed, and not unpacked."""

    def __reduce__(self) -> Any:
        return int, ("no number",)


@pytest.mark.parametrize("kind", [LockedResult, LostResult])
def test_results_that_cannot_be_sent_are_not_computed_again(kind: type) -> None:
    with pytest.raises(ShippingError, match="the result"):
        pmap_chunks(lambda arr, start, chunks: kind(), np.zeros((4, 4)), (2, 4), 2)
