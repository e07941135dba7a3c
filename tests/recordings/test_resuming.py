"""Tests of pipelines that are run again: finished steps are left out, and nothing else is."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tests.faults.harness import Session
from tests.recordings.files import made, write
from tilecore.compat.yass import BatchPipeline, PipedTransformation, RecordingsReader

DATA = made()
FACTOR = 2


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "raw.bin", DATA)
    (tmp_path / "tmp").mkdir()
    return tmp_path


def add(block: Any, folder: str, name: str, more: int) -> Any:
    with open(os.path.join(folder, "calls"), "a") as file:
        file.write(name)
    return block + np.int16(more)


def scale(block: Any, folder: str, name: str) -> Any:
    return add(block, folder, name, 0) * np.int16(FACTOR)


def steps(folder: Path, keep: tuple[bool, ...] = (True, True, True), more: int = 1, **options: Any) -> list[Any]:
    given: dict[str, Any] = {"folder": str(folder), **options}
    return [
        PipedTransformation(add, "a.bin", "multi_channel", keep=keep[0], name="a", more=more, **given),
        PipedTransformation(scale, "b.bin", "single_channel", keep=keep[1], name="b", **given),
        PipedTransformation(add, "c.bin", "multi_channel", keep=keep[2], name="c", more=3, **given),
    ]


def run(folder: Path, tasks: list[Any], *, resume: bool = True, **options: Any) -> tuple[str, Any]:
    """Run a pipeline; return the names of the steps that were called, and what it gave."""
    (folder / "calls").write_text("")
    given = {"max_memory": "1MB", "output_path": folder / "tmp", **options}
    pipeline = BatchPipeline(folder / "raw.bin", "int16", 4, "samples", **given)
    pipeline.add(tasks)
    found = pipeline.run(resume=resume)
    return "".join(sorted(set((folder / "calls").read_text()))), found


def right(folder: Path, more: int = 1) -> None:
    found = RecordingsReader(folder / "tmp" / "c.bin")[:, :]
    np.testing.assert_array_equal(found, (DATA + more) * FACTOR + 3)


def test_a_pipeline_that_is_done_is_not_run_again(folder: Path) -> None:
    _, first = run(folder, steps(folder))
    called, again = run(folder, steps(folder))
    assert (called, again) == ("", first)
    assert run(folder, steps(folder), resume=False)[0] == "abc"
    right(folder)


def test_params_are_those_of_the_yaml_file(folder: Path) -> None:
    for resume in (False, True):
        _, (paths, params) = run(folder, steps(folder), resume=resume)
        assert params == [yaml.safe_load(Path(path).with_suffix(".yaml").read_text()) for path in paths]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("argument of the first", "abc"),
        ("global of the second", "bc"),
        ("input", "abc"),
        ("times", "abc"),
        ("memory", "abc"),
        ("output of the second", "bc"),
        ("yaml of the last", "c"),
        ("last is gone", "c"),
        ("nothing", ""),
    ],
)
def test_what_has_changed_is_done_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch, change: str, expected: str
) -> None:
    run(folder, steps(folder))
    more, options = 1, {}
    if change == "argument of the first":
        more = 5
    if change == "global of the second":
        monkeypatch.setitem(globals(), "FACTOR", 3)
    if change == "input":
        os.utime(folder / "raw.bin", (1, 1))
    if change == "times":
        options = {"from_time": 10}
    if change == "memory":
        options = {"max_memory": "2MB"}
    if change == "output of the second":
        (folder / "tmp" / "c.bin").unlink()
        os.utime(folder / "tmp" / "b.bin", (1, 1))
    if change == "yaml of the last":
        (folder / "tmp" / "c.yaml").unlink()
    if change == "last is gone":
        (folder / "tmp" / "c.bin").unlink()
    called, _ = run(folder, steps(folder, more=more), **options)
    assert called == expected
    if change != "times":
        right(folder, more)


def test_steps_whose_files_did_not_stay_are_not_run_for_nothing(folder: Path) -> None:
    keep = (False, False, True)
    _, (_, params) = run(folder, steps(folder, keep))
    assert sorted(os.listdir(folder / "tmp")) == ["c.bin", "c.yaml"]
    called, (paths, again) = run(folder, steps(folder, keep))
    assert called == ""
    assert again == [{}, {}, params[2]]
    assert [os.path.basename(path) for path in paths] == ["a.bin", "b.bin", "c.bin"]


@pytest.mark.parametrize("killed_in", ["a", "b", "c"])
def test_a_pipeline_that_was_killed_goes_on_and_leaves_nothing(folder: Path, killed_in: str) -> None:
    keep = (False, True, True)

    def dies(block: Any, folder: str, name: str, more: int) -> Any:
        if name == killed_in and (Path(folder) / "deadly").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        return add(block, folder, name, more)

    def tasks() -> list[Any]:
        given: dict[str, Any] = {"folder": str(folder), "mode": "multi_channel"}
        return [
            PipedTransformation(dies, f"{name}.bin", keep=stays, name=name, more=1, **given)
            for name, stays in zip("abc", keep, strict=True)
        ]

    (folder / "deadly").touch()
    assert Session(lambda: run(folder, tasks())).wait()[0] == -signal.SIGKILL
    (folder / "deadly").unlink()
    called, _ = run(folder, tasks())
    assert called == "abc"["abc".index(killed_in) :]
    assert sorted(os.listdir(folder / "tmp")) == ["b.bin", "b.yaml", "c.bin", "c.yaml"]
    np.testing.assert_array_equal(RecordingsReader(folder / "tmp" / "c.bin")[:, :], DATA + 3)


def test_a_file_of_somebody_else_is_not_taken_for_a_step(folder: Path) -> None:
    """Taken as it is where the step says so, but what follows is computed from it, and again if it changes."""
    run(folder, steps(folder))
    (folder / "tmp" / "a.bin").write_bytes((DATA + np.int16(10)).tobytes())
    called, _ = run(folder, steps(folder, if_file_exists="skip"), resume=True)
    assert called == ""  # b and c are there, and said to be taken as they are
    for name in ("b", "c"):
        (folder / "tmp" / f"{name}.bin").unlink()
    called, _ = run(folder, steps(folder, if_file_exists="skip"))
    assert called == "bc"
    right(folder, 10)
    os.utime(folder / "tmp" / "a.bin", (1, 1))
    later = list(steps(folder))
    later[0].if_file_exists = "skip"
    assert run(folder, later)[0] == "bc"


def test_a_function_that_cannot_be_known_is_called_again(folder: Path) -> None:
    class Strange:
        def __call__(self, block: Any) -> Any:
            (folder / "calls").write_text("s")
            return block

        def __reduce__(self) -> Any:
            raise TypeError("nothing can be told of it")

    task = PipedTransformation(Strange(), "s.bin", "multi_channel")
    for _ in range(2):
        assert run(folder, [task])[0] == "s"
