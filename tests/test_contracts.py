"""Contracts are broken by what breaks them, and say so."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.faults.harness import wait_until
from tilecore.executors.base import Outcome
from tilecore.executors.serial import SerialCrew, SerialExecutor
from tilecore.formats.npy import NpySink
from tilecore.formats.sink import SinkSpec
from tilecore.testing import ExecutorContract, ReaderContract, SinkContract, leaks
from tilecore.testing.readers import volume
from tilecore.testing.sinks.file_driver import SHAPE


class Twice(SerialCrew):
    def wait(self, timeout: float | None = None) -> list[Outcome]:
        return 2 * super().wait(timeout)


class Deaf(SerialCrew):
    def tell(self, known: Any) -> None: ...


class Swallowing(SerialCrew):
    """Takes a failure for a value."""

    def wait(self, timeout: float | None = None) -> list[Outcome]:
        return [Outcome(outcome.task, outcome.value) for outcome in super().wait(timeout)]


class Forgetful(SerialCrew):
    """Leaves something open in each run."""

    kept: list[Any] = []  # noqa: RUF012

    def __init__(self, function: Any, known: Any) -> None:
        super().__init__(function, known)
        self.kept.append(tempfile.TemporaryFile())  # noqa: SIM115


def contract_of(crew: type[SerialCrew]) -> ExecutorContract:
    class Wrong(SerialExecutor):
        def start(self, function: Any, known: Any = None) -> SerialCrew:
            return crew(function, known)

    class TestWrong(ExecutorContract):
        def make(self, **options: Any) -> Any:
            return Wrong(**options)

    return TestWrong()


def test_an_executor_with_an_outcome_too_many() -> None:
    with pytest.raises(AssertionError, match="exactly one outcome"):
        contract_of(Twice).test_large_texts_come_back_whole()


def test_an_executor_that_does_not_listen() -> None:
    with pytest.raises(AssertionError, match="must know what was told last"):
        contract_of(Deaf).test_later_tasks_know_what_was_told_last()


def test_an_executor_that_hides_failures() -> None:
    with pytest.raises(AssertionError, match="must have a failure"):
        contract_of(Swallowing).test_an_exception_is_a_failure_with_its_traceback()


def test_an_executor_that_leaves_something_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaks, "_PATIENCE", 0)
    with pytest.raises(AssertionError, match="left behind"):
        contract_of(Forgetful).test_runs_leave_nothing_behind(tmp_path)
    while Forgetful.kept:
        Forgetful.kept.pop().close()


def test_a_process_is_the_same_before_and_after_its_command_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system tells the command of a process a moment after it has begun."""
    with subprocess.Popen(["sleep", "600"]) as process:
        with leaks.nothing_left():
            wait_until(Path(f"/proc/{process.pid}/cmdline").read_text)
        process.kill()
    monkeypatch.setattr(leaks, "_PATIENCE", 0)
    with pytest.raises(AssertionError, match=r"left behind: process \d+: sleep 600"), leaks.nothing_left():
        process = subprocess.Popen(["sleep", "600"])
        wait_until(Path(f"/proc/{process.pid}/cmdline").read_text)
    process.kill()
    process.wait()


def test_a_timeout_that_is_neither_kept_nor_named() -> None:
    class Mute(ExecutorContract):
        def make(self, **options: Any) -> Any:
            from tilecore import ParameterError

            raise ParameterError("no")

    with pytest.raises(AssertionError, match="must be named"):
        Mute().test_a_timeout_is_kept_or_refused()


def test_readers_that_read_something_else() -> None:
    shifted: Any = np.roll(volume(), 1, axis=2)
    with pytest.raises(AssertionError, match="must be the slice of the whole volume"):
        ReaderContract().test_every_box_is_the_slice_of_the_whole(shifted, 0)


def test_a_source_that_travels_as_data() -> None:
    whole: Any = volume()
    with pytest.raises(AssertionError, match="not as data"):
        ReaderContract().test_it_pickles_as_a_descriptor(whole)


class LitteringSink(NpySink):
    def _make(self, dtype: Any) -> Any:
        self.path.with_suffix(".lock").touch()
        return super()._make(dtype)


class HastySink(NpySink):
    def _make(self, dtype: Any) -> Any:
        self.path.touch()
        return super()._make(dtype)


def sink_contract_of(kind: type[NpySink]) -> SinkContract:
    class TestWrong(SinkContract):
        name = "v.npy"

        def create(self, folder: Path, dtype: str = "uint16", **options: Any) -> Any:
            return kind(SinkSpec.of(self.path(folder), SHAPE, **options)).create(dtype)

    return TestWrong()


def test_a_sink_that_leaves_something_beside_its_file(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="must be removed"):
        sink_contract_of(LitteringSink).test_a_block_that_raises_leaves_nothing(tmp_path)


def test_a_sink_that_has_its_name_too_early(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="before it is complete"):
        sink_contract_of(HastySink).test_it_has_its_name_when_it_is_complete(tmp_path)


def test_what_a_class_must_say() -> None:
    with pytest.raises(NotImplementedError, match="make"):
        ExecutorContract().test_stopping_twice_is_no_harm()
    with pytest.raises(NotImplementedError, match="write"):
        ReaderContract().write(Path(), volume())
    with pytest.raises(NotImplementedError, match="read"):
        SinkContract().read(Path())
    with pytest.raises(AssertionError, match="must have a name"):
        SinkContract().path(Path())
