"""Tests of runs in parts whose processes die: what is left is finished, and is the result of the whole run."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.faults.harness import FOR_EVER, Session, places, tiles_in_journal, wait_until
from tests.faults.test_steps import AtStep, sweep
from tilecore import JournalError, Tile, finish, map_tiles
from tilecore import locked_file as locked_file_module

VOLUME = np.random.default_rng(3).random((16, 16, 16))
RUN: dict[str, Any] = {"tile_shape": (4, 4, 4), "executor": "serial", "progress": False, "pass_tile": True}
N_PARTS = 16
PER_PART = 4


class Slowly:
    """Function that adds one, slowly, and waits for ever where it is told to: this is no part of the function."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, block: np.ndarray, tile: Tile) -> np.ndarray:
        with (self.folder / "calls").open("a") as calls:
            calls.write(f"{tile.number}\n")
        time.sleep(FOR_EVER if (self.folder / f"hold{tile.number}").exists() else 0.01)
        return block + 1

    def calls(self) -> list[int]:
        path = self.folder / "calls"
        return [int(line) for line in path.read_text().split()] if path.exists() else []


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "of_function").mkdir()
    return tmp_path / "o.ome.zarr"


def start(out: Path, number: int, count: int = N_PARTS, **options: Any) -> Session:
    """Start a part in a process of its own."""
    function, given = Slowly(out.parent / "of_function"), {**RUN, "dtype": "f8", **options}
    return Session(lambda: map_tiles(function, VOLUME, out=out, shard=(number, count), **given))


def journal_of(out: Path, number: int, count: int = N_PARTS) -> Path:
    return out.with_name(f"{out.name}.run") / f"part-{number:04}-of-{count:04}.journal"


def check_finished(out: Path) -> None:
    """Finish the run; it is the whole one, and nothing else is left."""
    whole = out.with_name("whole.ome.zarr")
    map_tiles(Slowly(out.parent / "of_function"), VOLUME, out=whole, dtype="f8", **RUN)
    np.testing.assert_array_equal(finish(out)[...], VOLUME + 1)
    stored = [files_of(name / "0") for name in (out, whole)]
    assert stored[0] == stored[1]
    assert sorted(each.name for each in out.parent.iterdir()) == sorted([out.name, whole.name, "of_function"])


def files_of(folder: Path) -> dict[Path, bytes]:
    """All files below a folder, by their names in it."""
    return {each.relative_to(folder): each.read_bytes() for each in folder.rglob("*") if each.is_file()}


def test_sixteen_parts_of_which_every_second_one_is_killed(out: Path) -> None:
    """All begin at once, in any order; each second one dies at a random moment, and is started again."""
    chance = random.Random(1)
    numbers = chance.sample(range(1, N_PARTS + 1), N_PARTS)
    sessions = {number: start(out, number) for number in numbers}
    again = {}
    for number in numbers[::2]:
        n_tiles = chance.randrange(PER_PART)
        wait_until(lambda number=number, n_tiles=n_tiles: tiles_in_journal(journal_of(out, number)) >= n_tiles)
        sessions[number].kill(signal.SIGKILL)
        code, _ = sessions.pop(number).wait()
        assert code in (0, -signal.SIGKILL)
        again[number] = start(out, number)
    for session in (*sessions.values(), *again.values()):
        code, output = session.wait()
        assert code == 0, output
    assert len(places(out)) == 1
    check_finished(out)


def test_a_run_is_not_finished_while_a_part_runs_and_goes_on_when_it_has_died(out: Path) -> None:
    for number in (1, 3):
        assert start(out, number, 3).wait()[0] == 0
    hold = out.parent / "of_function" / "hold30"
    hold.touch()
    session = start(out, 2, 3)
    wait_until(lambda: 30 in Slowly(hold.parent).calls())
    with pytest.raises(JournalError, match="part 2 of 3 still runs: wait for its end"):
        finish(out)
    n_done = tiles_in_journal(journal_of(out, 2, 3))
    session.kill(signal.SIGKILL)
    session.wait()
    hold.unlink()
    with pytest.raises(JournalError, match=rf"{64 - 21 - 22 - n_done} of 64 tiles are not done.* for I = 2"):
        finish(out)
    assert start(out, 2, 3).wait()[0] == 0
    calls = Slowly(hold.parent).calls()
    assert {number for number in range(64) if calls.count(number) > 1} == {30}  # nothing else was done twice
    check_finished(out)


class Looks:
    """A ``cancel`` that is never set, and counts how often somebody who waits has looked at it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def is_set(self) -> bool:
        with self.path.open("a") as looks:
            looks.write("x")
        return False

    @property
    def number(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0


def test_a_part_that_makes_the_plan_and_dies_is_replaced(out: Path) -> None:
    """The others wait for it, and one of them makes the plan when it is dead."""
    hold = out.parent / "of_function" / "hold-1"  # the call that shows the dtype, before there is a plan
    hold.touch()
    maker = start(out, 1, 2, dtype=None)
    wait_until(lambda: Slowly(hold.parent).calls())
    hold.unlink()
    looks = Looks(hold.with_name("looks"))
    other = start(out, 2, 2, dtype=None, cancel=looks)
    wait_until(lambda: looks.number >= 3)
    assert Slowly(hold.parent).calls() == [-1]
    maker.kill(signal.SIGKILL)
    maker.wait()
    assert other.wait()[0] == 0
    assert Slowly(hold.parent).calls()[:3] == [-1, -1, 32]
    assert start(out, 1, 2, dtype=None).wait()[0] == 0
    np.testing.assert_array_equal(finish(out)[...], VOLUME + 1)


@pytest.mark.parametrize("locks", [True, False])
def test_several_that_begin_at_once_make_one_plan(locks: bool, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where files cannot be locked: then several make one, and the first that is there counts."""
    if not locks:
        monkeypatch.setattr(locked_file_module, "_lock", lambda descriptor: False)
    go = out.parent / "of_function" / "go"

    def begin(number: int) -> None:
        wait_until(go.exists)
        map_tiles(Slowly(go.parent), VOLUME, out=out, shard=(number, 8), **RUN)

    sessions = [Session(partial(begin, number)) for number in range(1, 9)]
    go.touch()
    for session in sessions:
        code, output = session.wait()
        assert code == 0, output
    assert len(places(out)) == 1
    np.testing.assert_array_equal(finish(out)[...], VOLUME + 1)


SMALL = np.arange(4.0 * 6).reshape(4, 6)
TILES: dict[str, Any] = {"tile_shape": (2, 2), "executor": "serial", "progress": False}


def double(block: np.ndarray) -> np.ndarray:
    return 2 * block


def part_of_small(out: Path, number: int) -> None:
    map_tiles(double, SMALL, out=out, shard=(number, 2), **TILES)


def died(deed: Callable[[], object], step: int) -> bool:
    """Do something in a process that is killed at a step; whether it came so far."""

    def doing() -> None:
        AtStep(step).install()
        deed()

    code, output = Session(doing).wait()
    assert code in (0, -signal.SIGKILL), output
    return code != 0


def die_in_part(step: int, parent: Path) -> bool:
    """Kill the part that begins first at a step; then the others do what is left."""
    (folder := parent / str(step)).mkdir()
    out = folder / "o.zarr"
    has_died = died(partial(part_of_small, out, 1), step)
    for number in (2, 1):
        part_of_small(out, number)
    assert len(places(out)) == 1
    np.testing.assert_array_equal(finish(out)[...], 2 * SMALL)
    assert [each.name for each in folder.iterdir()] == ["o.zarr"]
    return has_died


def die_in_finish(step: int, parent: Path) -> bool:
    """Kill what finishes a run at a step; another call finishes it, unless it is finished."""
    (folder := parent / str(step)).mkdir()
    out = folder / "o.zarr"
    for number in (1, 2):
        part_of_small(out, number)
    has_died = died(partial(finish, out), step)
    if (folder / "o.zarr.run" / "plan").exists():
        finish(out)
    assert out.exists()
    np.testing.assert_array_equal(map_tiles(double, SMALL, out=out, overwrite=True, **TILES)[...], 2 * SMALL)
    assert has_died or [each.name for each in folder.iterdir()] == ["o.zarr"]
    return has_died


@pytest.mark.parametrize("die", [die_in_part, die_in_finish])
def test_death_at_some_steps_of_a_run_in_parts(die: Callable[..., bool], tmp_path: Path) -> None:
    sweep(range(5, 5000, 83), partial(die, parent=tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize(("die", "stride"), [(die_in_part, 11), (die_in_finish, 3)])
def test_death_at_many_steps_of_a_run_in_parts(die: Callable[..., bool], stride: int, tmp_path: Path) -> None:
    sweep(range(1, 9000, stride), partial(die, parent=tmp_path))
