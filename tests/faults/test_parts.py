"""Tests of runs in parts whose processes die: what is left is finished, and is the result of the whole run."""

from __future__ import annotations

import errno
import logging
import os
import random
import signal
import sys
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
from tilecore import process_identity as process_identity_module
from tilecore.engine.parts import appearing as appearing_module
from tilecore.engine.parts import run_folder as run_folder_module
from tilecore.engine.parts import turns as turns_module
from tilecore.engine.parts.turns import Turn

VOLUME = np.random.default_rng(3).random((16, 16, 16))
RUN: dict[str, Any] = {"tile_shape": (4, 4, 4), "executor": "serial", "progress": False, "pass_tile": True}
N_PARTS = 16
PER_PART = 4


class Slowly:
    """Function that adds one, slowly, and waits for ever where it is told to: this is no part of the function."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, block: np.ndarray, tile: Tile) -> np.ndarray:
        holds = (self.folder / f"hold{tile.number}").exists()  # seen before others see the call
        with (self.folder / "calls").open("a") as calls:
            calls.write(f"{tile.number}\n")
        time.sleep(FOR_EVER if holds else 0.01)
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


def n_recorded(out: Path, number: int, count: int = N_PARTS) -> int:
    """Number of tiles that a part has recorded, in the journals of all of its processes."""
    journals = out.with_name(f"{out.name}.run").glob(f"part-{number:04}-of-{count:04}.*.journal")
    return sum(map(tiles_in_journal, journals))


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
        wait_until(lambda number=number, n_tiles=n_tiles: n_recorded(out, number) >= n_tiles)
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
    with pytest.raises(JournalError, match="part 2 of 3 still runs, as process .*: wait for its end"):
        finish(out)
    n_done = n_recorded(out, 2, 3)
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


def begin_at_once(out: Path, n_parts: int, prepare: Callable[[int], object] = lambda _: None) -> None:
    """Run all parts, each in a process of its own that waits until all are there."""
    go = out.parent / "of_function" / "go"

    def begin(number: int) -> None:
        prepare(number)
        wait_until(go.exists)
        map_tiles(Slowly(go.parent), VOLUME, out=out, shard=(number, n_parts), **RUN)

    sessions = [Session(partial(begin, number)) for number in range(1, n_parts + 1)]
    go.touch()
    for session in sessions:
        code, output = session.wait()
        assert code == 0, output


@pytest.mark.parametrize("locks", [True, False])
def test_several_that_begin_at_once_make_one_plan(locks: bool, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where files cannot be locked: then several make one, and the first that is there counts."""
    if not locks:
        monkeypatch.setattr(locked_file_module, "_lock", lambda descriptor: False)
    begin_at_once(out, 8)
    assert len(places(out)) == 1
    np.testing.assert_array_equal(finish(out)[...], VOLUME + 1)


def stand_apart(host: str, silence: float | None = None) -> None:
    """Let this process be one of a host of its own, whose locks of files no other host sees, as over some networks.

    Others count as dead there after so many seconds without a sign of theirs.
    """
    locked_file_module._lock = lambda descriptor: True
    process_identity_module._system = lambda: {"host": host, "boot": host, "pids": ""}
    if silence is not None:
        turns_module._SILENCE = silence


class Waiting(Slowly):
    """The same, but the call that shows the dtype waits as long as there is a file ``hold-1``."""

    def __call__(self, block: np.ndarray, tile: Tile) -> np.ndarray:
        if tile.number == -1:
            with (self.folder / "calls").open("a") as calls:
                calls.write("-1\n")
            wait_until(lambda: not (self.folder / "hold-1").exists())
            return block + 1
        return super().__call__(block, tile)


def test_a_host_that_is_taken_for_dead_loses_nothing(out: Path) -> None:
    """It made the plan while another host, which does not see its locks, made one, too."""
    (hold := out.parent / "of_function" / "hold-1").touch()
    function = Waiting(hold.parent)

    def begin(number: int, silence: float | None = None) -> None:
        stand_apart(f"host{number}", silence)
        if number == 2:
            function.folder = hold.parent.parent  # it need not wait
        map_tiles(function, VOLUME, out=out, shard=(number, 2), identity="waiting", **RUN)

    slow = Session(partial(begin, 1))
    wait_until(function.calls)
    code, output = Session(partial(begin, 2, 0.0)).wait()
    assert code == 0, output
    hold.unlink()
    code, output = slow.wait()
    assert code == 0, output
    np.testing.assert_array_equal(finish(out)[...], VOLUME + 1)
    assert places(out) == []


@pytest.mark.parametrize("seed", range(5))
def test_hosts_whose_locks_nobody_else_sees_make_one_run(seed: int, out: Path) -> None:
    """Each part runs on a host of its own, all begin at once, and some of them take others for dead."""

    def prepare(number: int) -> None:
        stand_apart(f"host{number}", silence=0.0 if (number + seed) % 2 else None)

    begin_at_once(out, 8, prepare)
    np.testing.assert_array_equal(finish(out)[...], VOLUME + 1)
    assert places(out) == []


def test_a_maker_on_another_host_that_gives_no_sign_is_replaced(out: Path) -> None:
    """As long as it gives signs, others wait for it, and say for whom."""
    folder = out.with_name(f"{out.name}.run")
    folder.mkdir()
    go = out.parent / "of_function" / "go"

    def make_no_plan() -> None:
        stand_apart("elsewhere")
        turns_module._RENEWAL = 0.05
        turn = Turn(folder, "plan")
        turn.take()
        wait_until(go.exists)
        time.sleep(0 if turn._ended.set() else FOR_EVER)  # it lives, but gives no sign any more

    maker = Session(make_no_plan)
    wait_until(lambda: list(folder.glob("plan.*.turn")))
    looks = Looks(go.with_name("looks"))

    def begin() -> None:
        stand_apart("here", 1.0)
        run_folder_module._MANY_LOOKS, turns_module._PAUSE = 2, 0.1
        logging.basicConfig(stream=sys.stdout, force=True)
        map_tiles(Slowly(go.parent), VOLUME, out=out, shard=(1, 1), cancel=looks, **RUN)

    part = Session(begin)
    try:
        wait_until(lambda: looks.number >= 4)
        assert not (folder / "plan").exists()
        go.touch()
        code, output = part.wait()
    finally:
        maker.kill(signal.SIGKILL)
        maker.wait()
    assert code == 0, output
    assert f"waiting for the plan of this run, which process {maker.pid} on elsewhere" in output
    np.testing.assert_array_equal(finish(out)[...], VOLUME + 1)


def test_nobody_waits_for_ever_for_a_plan(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even for a process that lives: two plans do no harm."""
    monkeypatch.setattr(run_folder_module, "_LONGEST_WAIT", 0.1)
    folder = out.with_name(f"{out.name}.run")
    folder.mkdir()
    other = Turn(folder, "plan")
    other.take()
    map_tiles(Slowly(out.parent / "of_function"), VOLUME, out=out, shard=(1, 1), **RUN)
    other.end()
    np.testing.assert_array_equal(finish(out)[...], VOLUME + 1)
    assert not folder.exists()


@pytest.mark.slow
def test_a_hundred_parts_begin_at_once(out: Path) -> None:
    """None of them is told that the run is being finished."""
    begin_at_once(out, 100)
    np.testing.assert_array_equal(finish(out)[...], VOLUME + 1)


def answers_late(create: Callable[[Path, Path], None], old: Path, new: Path) -> None:
    """Create a name, and answer as a server of NFS that is asked again, since its answer was lost."""
    create(old, new)
    raise FileExistsError(errno.EEXIST, "File exists", str(new))


def test_a_process_knows_its_own_files_when_the_answer_was_lost(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(appearing_module, "rename_unless_there", lambda old, new: False)
    monkeypatch.setattr(os, "link", partial(answers_late, os.link))
    for number in (1, 2):
        map_tiles(Slowly(out.parent / "of_function"), VOLUME, out=out, shard=(number, 2), **RUN)
        assert len(places(out)) == 1
    np.testing.assert_array_equal(finish(out)[...], VOLUME + 1)


def run_twice(out: Path, hold: Path) -> list[Session]:
    """Start a part on two hosts, one of which is taken for dead."""

    def begin(host: str, silence: float | None) -> None:
        stand_apart(host, silence)
        map_tiles(Slowly(hold.parent), VOLUME, out=out, shard=(2, 3), dtype="f8", **RUN)

    hold.touch()
    first = Session(partial(begin, "first", None))
    wait_until(lambda: 30 in Slowly(hold.parent).calls())
    hold.unlink()
    return [first, Session(partial(begin, "second", 0.0))]


def test_a_part_that_runs_twice_on_two_hosts_loses_nothing(out: Path) -> None:
    """As when a queue starts it again, because the network of its host has failed for a while."""
    for number in (1, 3):
        assert start(out, number, 3).wait()[0] == 0
    first, second = run_twice(out, out.parent / "of_function" / "hold30")
    code, output = second.wait()
    assert code == 0, output
    first.kill(signal.SIGKILL)
    first.wait()
    calls = Slowly(out.parent / "of_function").calls()
    assert {number for number in range(64) if calls.count(number) > 1} == {30}  # what the first has done counts
    check_finished(out)


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
