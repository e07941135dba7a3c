"""Tests of journals: a killed run is continued, and never by another run."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import zarr

from tests.faults.harness import FOR_EVER, PidLog, Session, alive, places, tiles_in_journal, wait_until
from tilecore import (
    JournalError,
    OutputExistsError,
    ParameterError,
    Tile,
    TileError,
    TileGrid,
    collect_tiles,
    map_tiles,
    reduce_tiles,
)
from tilecore.engine import journal as journal_module
from tilecore.engine.events import TileDone
from tilecore.engine.identity.values import new_describer
from tilecore.engine.journal import Journal
from tilecore.engine.journal_values import decode, encode
from tilecore.engine.run_planning import RunPlanning

VOLUME = np.arange(8.0 * 9 * 10).reshape(8, 9, 10)
TILES = {"tile_shape": (4, 3, 10), "workers": 2}


class Counting:
    """Function that doubles its block, counts its calls, and fails at some tiles."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, block: np.ndarray, tile: Tile) -> np.ndarray:
        with (self.folder / "calls").open("a") as calls:
            calls.write(f"{tile.number}\n")
        if (self.folder / "fail").exists() and tile.number >= 3:
            raise OSError("no more")
        return 2 * block

    def calls(self) -> list[int]:
        numbers = [int(line) for line in (self.folder / "calls").read_text().split()]
        (self.folder / "calls").write_text("")
        return sorted(numbers)


@pytest.fixture
def function(tmp_path: Path) -> Counting:
    (tmp_path / "fail").touch()
    (tmp_path / "calls").touch()
    return Counting(tmp_path)


def begin(function: Counting, out: Any, **options: Any) -> None:
    """Start a run that ends after three of six tiles."""
    with pytest.raises(TileError):
        map_tiles(function, VOLUME, pass_tile=True, out=out, retries=0, on_error="finish", **TILES, **options)
    (function.folder / "fail").unlink()
    assert function.calls() == [0, 1, 2, 3, 4, 5]


def test_only_what_is_missing_is_computed(function: Counting, tmp_path: Path) -> None:
    out = tmp_path / "out.npy"
    begin(function, out)
    assert not out.exists()
    assert (tmp_path / "out.npy.journal").exists()
    result = map_tiles(function, VOLUME, pass_tile=True, out=out, resume=True, **TILES)
    assert function.calls() == [3, 4, 5]
    np.testing.assert_array_equal(result, 2 * VOLUME)
    np.testing.assert_array_equal(np.load(out), 2 * VOLUME)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["calls", "out.npy"]


def test_without_resume_the_run_begins_anew(function: Counting, tmp_path: Path) -> None:
    begin(function, tmp_path / "out.npy")
    map_tiles(function, VOLUME, pass_tile=True, out=tmp_path / "out.npy", **TILES)
    assert function.calls() == list(range(6))


def test_deleting_the_journal_begins_anew(function: Counting, tmp_path: Path) -> None:
    begin(function, tmp_path / "out.npy")
    (tmp_path / "out.npy.journal").unlink()
    map_tiles(function, VOLUME, pass_tile=True, out=tmp_path / "out.npy", resume=True, **TILES)
    assert function.calls() == list(range(6))


def test_deleting_the_output_begins_anew(function: Counting, tmp_path: Path) -> None:
    begin(function, tmp_path / "out.npy")
    shutil.rmtree(places(tmp_path / "out.npy")[0])
    result = map_tiles(function, VOLUME, pass_tile=True, out=tmp_path / "out.npy", resume=True, **TILES)
    assert function.calls() == list(range(6))
    np.testing.assert_array_equal(result, 2 * VOLUME)


def test_outputs_on_disk_with_a_journal_of_their_own(function: Counting, tmp_path: Path) -> None:
    out = zarr.create_array(tmp_path / "o.zarr", shape=VOLUME.shape, chunks=(4, 3, 10), dtype=VOLUME.dtype)
    begin(function, out, journal=tmp_path / "run.journal")
    map_tiles(function, VOLUME, pass_tile=True, out=out, journal=tmp_path / "run.journal", resume=True, **TILES)
    assert function.calls() == [3, 4, 5]
    np.testing.assert_array_equal(out[...], 2 * VOLUME)
    map_tiles(function, VOLUME, pass_tile=True, out=out, journal=tmp_path / "run.journal", resume=True, **TILES)
    assert function.calls() == []  # nothing was missing


@pytest.mark.parametrize("out", [None, np.zeros_like(VOLUME)])
def test_outputs_in_memory_cannot_be_continued(out: Any, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="needs outputs on disk"):
        map_tiles(np.sqrt, VOLUME, out=out, journal=tmp_path / "j")


def test_no_journal_if_not_wanted(function: Counting, tmp_path: Path) -> None:
    begin(function, tmp_path / "out.npy", journal=False)
    assert not (tmp_path / "out.npy.journal").exists()
    assert not places(tmp_path / "out.npy")


def test_a_run_without_a_finished_tile_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TileError):
        map_tiles(lambda block: 1 / 0, VOLUME, out=tmp_path / "out.npy", dtype="f8", **TILES)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"source": VOLUME + 1}, r"sources\[0\].digest differs"),
        ({"source": VOLUME.astype("f4")}, r"sources\[0\].dtype was .float64., is .float32."),
        ({"halo": 1}, r"halo\[0\] was \[0, 0\], is \[1, 1\]"),
        ({"boundary": "edge"}, "boundary was null, is .*edge"),
        ({"tile_shape": (2, 9, 10)}, r"tile_shape was \[4, 3, 10\], is \[2, 9, 10\]"),
        ({"kwargs": {"factor": 3}}, "kwargs.factor was missing, is 3"),
        ({"function": lambda block, tile, factor=2: 3 * block}, "function.function was .*double.*, is .*lambda"),
    ],
)
def test_a_journal_of_another_run_is_refused(change: dict[str, Any], text: str, tmp_path: Path) -> None:
    def double(block: np.ndarray, tile: Tile, factor: int = 2) -> np.ndarray:
        if tile.number == 5 and not (tmp_path / "go").exists():
            raise OSError
        return factor * block

    arguments: dict[str, Any] = {"function": double, "source": VOLUME, "pass_tile": True, "out": tmp_path / "o.npy"}
    with pytest.raises(TileError):
        map_tiles(**arguments, executor="serial", retries=0, tile_shape=(4, 3, 10))
    (tmp_path / "go").touch()
    with pytest.raises(JournalError, match=text):
        map_tiles(**{**arguments, "tile_shape": (4, 3, 10), **change}, executor="serial", resume=True)
    # Refused without damage: the right one goes on.
    result = map_tiles(**arguments, executor="serial", resume=True, tile_shape=(4, 3, 10))
    np.testing.assert_array_equal(result, 2 * VOLUME)


def test_a_planned_run_goes_on_with_its_tiles(function: Counting, tmp_path: Path) -> None:
    """The tiles of the first run are kept, even if a second plan differs."""
    volume = np.zeros((64, 128, 128))

    def fail_late(block: np.ndarray, tile: Tile) -> np.ndarray:
        if tile.number > 1 and not (tmp_path / "go").exists():
            raise OSError
        return block

    arguments: dict[str, Any] = {"pass_tile": True, "out": tmp_path / "o.npy", "dtype": "f8", "executor": "serial"}
    with pytest.raises(TileError):
        map_tiles(fail_late, volume, max_memory="4MB", retries=0, **arguments)
    (tmp_path / "go").touch()
    result = map_tiles(fail_late, volume, max_memory="80MB", resume=True, **arguments)
    assert result.shape == volume.shape


def test_results_of_tiles_are_kept_too(tmp_path: Path) -> None:
    calls: list[int] = []

    def table(block: np.ndarray, tile: Tile) -> Any:
        calls.append(tile.number)
        if tile.number == 4 and not (tmp_path / "go").exists():
            raise OSError
        return None if tile.number == 1 else (np.full((2, 3), tile.number), {"n": [1.5, "x"]}, np.float32(0.1))

    arguments: dict[str, Any] = {"pass_tile": True, "journal": tmp_path / "j", "executor": "serial", "retries": 0}
    with pytest.raises(TileError):
        collect_tiles(table, VOLUME, tile_shape=(4, 3, 10), on_error="finish", **arguments)
    assert calls == list(range(6))
    (tmp_path / "go").touch()
    calls.clear()
    results = collect_tiles(table, VOLUME, tile_shape=(4, 3, 10), resume=True, **arguments)
    assert calls == [4]
    assert results[1] is None
    for number in (0, 2, 3, 4, 5):
        array, details, scalar = results[number]
        np.testing.assert_array_equal(array, np.full((2, 3), number))
        assert (details, scalar, scalar.dtype) == ({"n": [1.5, "x"]}, np.float32(0.1), np.float32)


def test_reducing_goes_on_in_order(tmp_path: Path) -> None:
    def number(block: np.ndarray, tile: Tile) -> int:
        if tile.number in (0, 3) and not (tmp_path / "go").exists():
            raise OSError
        return tile.number

    arguments: dict[str, Any] = {
        "pass_tile": True,
        "journal": tmp_path / "j",
        "executor": "serial",
        "retries": 0,
        "initial": [],
        "tile_shape": (4, 3, 10),
        "on_error": "finish",
    }
    with pytest.raises(TileError):
        reduce_tiles(number, lambda a, b: [*a, b], VOLUME, **arguments)
    (tmp_path / "go").touch()
    assert reduce_tiles(number, lambda a, b: [*a, b], VOLUME, resume=True, **arguments) == list(range(6))


def test_results_that_are_no_data_are_refused(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="cannot keep results of type set.*journal=False"):
        collect_tiles(lambda block: {1, 2}, VOLUME, journal=tmp_path / "j", executor="serial")


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        3,
        2.5,
        "text",
        [1, [2]],
        (1, (2,)),
        {"a": {"b": (1,)}},
        np.float32(1.5),
        np.arange(6).reshape(2, 3),
        np.zeros((0, 4)),
        np.array(["a", "bc"]),
        np.datetime64("2020-01-01"),
        np.zeros(2, dtype=[("a", "i2")]),
        np.float64(2.5),
        np.str_("text"),
        np.bool_(True),
        np.int64(3),
        float("nan"),
        -0.0,
        2**70,
        np.ma.masked_less(np.arange(4), 2),
        np.ma.MaskedArray(np.arange(4.0), fill_value=-1.0, hard_mask=True),
        [np.ma.masked_all(3), (np.float32(1),)],
    ],
)
def test_results_survive_json(value: Any) -> None:
    back = decode(json.loads(json.dumps(encode(value))))
    assert type(back) is type(value)
    np.testing.assert_equal(back, value)
    if isinstance(value, np.ma.MaskedArray):
        assert (back.mask is np.ma.nomask) == (value.mask is np.ma.nomask)
        np.testing.assert_equal(np.ma.getmaskarray(back), np.ma.getmaskarray(value))
        np.testing.assert_equal(back.data, value.data)
        assert (back.fill_value, back.hardmask) == (value.fill_value, value.hardmask)


class Named(NamedTuple):
    a: int


class Text(str):
    pass


@pytest.mark.parametrize(
    "value", [Named(1), Text("a"), IntEnum("E", "A")(1), Counter("aa"), np.array([None]), {1: 2}, 1j]
)
def test_results_that_would_come_back_as_something_else_are_refused(value: Any) -> None:
    with pytest.raises(JournalError, match=f"type {type(value).__name__}"):
        encode([value])


def journal_with(path: Path, lines: int) -> TileGrid:
    grid = TileGrid((10,), 1)
    with Journal(path, {"run": 1}) as journal:
        journal.begin(grid)
        for number in range(lines):
            journal.record(number)
    return grid


@pytest.mark.parametrize("cut", [1, 2, 5, 12])
def test_a_torn_last_line_is_dropped(cut: int, tmp_path: Path) -> None:
    grid = journal_with(tmp_path / "j", 4)
    content = (tmp_path / "j").read_bytes()
    (tmp_path / "j").write_bytes(content[:-cut])
    with Journal(tmp_path / "j", {"run": 1}, resume=True) as journal:
        journal.begin(grid)
        assert journal.n_done == 3
        assert not journal.is_done(3)
        journal.record(3)
    with Journal(tmp_path / "j", {"run": 1}, resume=True) as journal:
        journal.begin(grid)
        assert journal.n_done == 4


def test_beginning_anew_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    journal_with(tmp_path / "j", 0)
    assert not caplog.records
    journal_with(tmp_path / "j", 3)
    assert not caplog.records
    journal_with(tmp_path / "j", 3)
    assert "j: 3 tiles done by a stopped run are made again; resume=True (--resume) keeps them" in caplog.text


@pytest.mark.parametrize("is_same", [True, False])
def test_how_much_is_thrown_away_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture, is_same: bool) -> None:
    data, out, n_calls = np.arange(100, dtype="i4").reshape(10, 10), tmp_path / "out.npy", 0

    def stops(block: Any) -> Any:
        nonlocal n_calls
        n_calls += 1
        if n_calls == 4:
            raise KeyboardInterrupt
        return block

    run: dict[str, Any] = {"out": out, "tile_shape": (1, 10), "executor": "serial", "identity": "mine"}
    with pytest.raises(KeyboardInterrupt):
        map_tiles(stops, data, **run)
    assert not caplog.records
    map_tiles(stops, data, **run, **({} if is_same else {"dtype": "f8"}))
    (record,) = [each for each in caplog.records if "stopped run" in each.getMessage()]
    assert record.getMessage().startswith(f"{out}.journal: 3 of 10 tiles done by a stopped run are ")
    assert ("keeps them" in record.getMessage()) == is_same
    np.testing.assert_array_equal(np.load(out), data)


def test_garbage_at_the_end_is_dropped(tmp_path: Path) -> None:
    grid = journal_with(tmp_path / "j", 4)
    with (tmp_path / "j").open("ab") as file:
        file.write(b"\0" * 100 + b"\n" + b"\xff\n")
    with Journal(tmp_path / "j", {"run": 1}, resume=True) as journal:
        journal.begin(grid)
        assert journal.n_done == 4


def test_damage_in_the_middle_is_refused(tmp_path: Path) -> None:
    journal_with(tmp_path / "j", 4)
    lines = (tmp_path / "j").read_bytes().split(b"\n")
    lines[2] = lines[2].replace(b'"t":1', b'"t":7')
    (tmp_path / "j").write_bytes(b"\n".join(lines))
    with pytest.raises(JournalError, match="damaged in line 3; delete it"):
        Journal(tmp_path / "j", {"run": 1}, resume=True)


@pytest.mark.parametrize("seconds", [0.0, 100.0])
def test_a_durable_journal_names_only_what_is_on_the_disk(
    seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.npy"
    written: list[int] = []  # by tiles, as far as the disk knows
    named: list[tuple[list[int], bool]] = []

    def sync() -> None:
        partial = np.load(out if out.exists() else places(out)[0] / "out.npy")
        written[:] = np.flatnonzero(partial).tolist()
        named.append((_named(tmp_path / "out.npy.journal"), out.exists()))

    monkeypatch.setattr(os, "sync", sync)
    monkeypatch.setattr(journal_module, "_SYNC_SECONDS", seconds)

    def check(_: Any) -> None:
        assert set(_named(tmp_path / "out.npy.journal")) <= set(written)

    map_tiles(
        np.positive,
        np.arange(1, 7),
        tile_shape=1,
        out=out,
        durable=True,
        executor="serial",
        dtype="i8",
        callbacks=[check],
    )
    assert len(named) == (7 if seconds == 0 else 2)
    assert named[-1] == (list(range(6)), True), "the output has its name before the journal goes"
    assert not named[-2][1]


def _named(path: Path) -> list[int]:
    """Numbers of the tiles that a journal, if it exists, records as finished."""
    if not path.exists():
        return []
    return [line["t"] for line in map(json.loads, path.read_text().splitlines()) if "t" in line]


class Setting:
    """Object that equals another one that was built differently; their pickles differ."""

    def __init__(self, path: Path, names: list[str]) -> None:
        self.path, self.names, self.itself = path, names, self


def described(value: Any) -> Any:
    describe = new_describer()
    return describe(value), describe.finish()


def test_equal_arguments_make_the_same_run(tmp_path: Path) -> None:
    once, again = "sigma" * 2, "".join(["sigma", "sigma"])
    first = Setting(tmp_path / "a" / "b", [once, once])
    second = Setting(Path(str(tmp_path) + "/a/b"), [once, again])
    assert described(first) == described(second)
    assert described(first) != described(Setting(tmp_path / "a", [once, once]))
    assert described({1, 2, "c"}) == described({"c", 2, 1})
    seeded = [described(np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert seeded[0] == seeded[1] != seeded[2]


def test_an_empty_journal_is_begun(tmp_path: Path) -> None:
    (tmp_path / "j").touch()
    with Journal(tmp_path / "j", {"run": 1}, resume=True) as journal:
        assert not journal.continues


def test_a_file_that_is_no_journal_is_not_overwritten_by_resuming(tmp_path: Path) -> None:
    (tmp_path / "j").write_text("my thesis\nchapter 2\n" + json.dumps({"x": 1}) + "\n")
    with pytest.raises(JournalError, match="is not a journal; choose another path"):
        Journal(tmp_path / "j", {"run": 1}, resume=True)
    with pytest.raises(JournalError, match="is not a journal"):
        Journal(tmp_path / "j", {"run": 1})
    assert (tmp_path / "j").read_text().startswith("my thesis")


AGAIN = """
import os, sys
import numpy as np
from tilecore import create_sink, map_tiles

way, how, n_done = sys.argv[1], sys.argv[2], []

def die(event):
    n_done.append(type(event).__name__ == "TileDone")
    if how == "kill" and sum(n_done) == 8:
        os.kill(os.getpid(), 9)

def run(out, **options):
    map_tiles(np.negative, np.ones((32, 16, 16), "f4"), out=out, dtype="f4", tile_shape=(2, 16, 16), executor="serial",
              callbacks=[die], **options)

if way == "sink":
    with create_sink("o.npy", (32, 16, 16), "f4") as sink:
        run(sink, journal="j", resume=True)
elif how == "other":
    how = "kill"
    run("o.npy", journal=False)
else:
    run("o.npy", resume=True)
"""


def test_a_sink_that_was_made_anew_gets_all_tiles(tmp_path: Path) -> None:
    """After a kill the same script creates another sink, which lacks the finished tiles."""
    command = [sys.executable, "-c", AGAIN, "sink"]
    assert subprocess.run([*command, "kill"], cwd=tmp_path).returncode == -signal.SIGKILL
    subprocess.run([*command, "again"], cwd=tmp_path, check=True)
    assert (np.load(tmp_path / "o.npy") == -1).all()


def opened(kind: str, mode: str, folder: Path) -> Any:
    """Array on disk, created or opened again."""
    if kind == "memmap":
        return np.memmap(folder / "o.raw", mode=mode, dtype="f8", shape=(8,))  # type: ignore[call-overload]
    if kind == "npy":
        whole = {"dtype": "f8", "shape": (8,)} if mode == "w+" else {}
        return np.lib.format.open_memmap(folder / "o.npy", mode=mode, **whole)  # type: ignore[arg-type]
    if mode == "w+":
        return zarr.create_array(folder / "o.zarr", shape=(8,), chunks=(2,), dtype="f8", overwrite=True)
    return zarr.open_array(folder / "o.zarr", mode="r+")


ARRAYS = ["memmap", "npy", "zarr"]


class Adds:
    """Function that adds a number, or raises at a tile; it records its tiles."""

    def __init__(self, number: float, fails_at: int = -1) -> None:
        self.number, self.fails_at = number, fails_at
        self.seen: list[int] = []

    def __call__(self, block: np.ndarray, tile: Any) -> np.ndarray:
        self.seen.append(tile.number)
        if tile.number == self.fails_at:
            raise RuntimeError("stop")
        return block + self.number


def add(adds: Adds, out: Any, folder: Path, **options: Any) -> None:
    """Add into an array of the caller, with a journal; the function is identified by a name."""
    options = {"journal": folder / "j", "resume": True, "retries": 0} | options
    map_tiles(
        adds,
        np.zeros(8),
        out=out,
        tile_shape=2,
        pass_tile=True,
        executor="serial",
        identity=f"{adds.number}",
        **options,
    )


@pytest.mark.parametrize("kind", ARRAYS)
def test_an_array_that_was_made_anew_gets_all_tiles(kind: str, tmp_path: Path) -> None:
    with pytest.raises(TileError, match="stop"):
        add(Adds(1, fails_at=2), opened(kind, "w+", tmp_path), tmp_path)
    out, again = opened(kind, "w+", tmp_path), Adds(1)
    add(again, out, tmp_path)
    assert again.seen == [0, 1, 2, 3]
    assert (np.asarray(out[...]) == 1).all()


@pytest.mark.parametrize("kind", ARRAYS)
def test_an_array_that_was_opened_again_gets_the_missing_tiles(kind: str, tmp_path: Path) -> None:
    with pytest.raises(TileError, match="stop"):
        add(Adds(1, fails_at=2), opened(kind, "w+", tmp_path), tmp_path)
    out, again = opened(kind, "r+", tmp_path), Adds(1)
    add(again, out, tmp_path)
    assert again.seen == [2, 3]
    assert (np.asarray(out[...]) == 1).all()


@pytest.mark.parametrize("kind", ARRAYS)
def test_an_array_that_another_run_has_written_gets_those_tiles_again(kind: str, tmp_path: Path) -> None:
    with pytest.raises(TileError, match="stop"):
        add(Adds(1, fails_at=2), opened(kind, "w+", tmp_path), tmp_path)
    add(Adds(5), opened(kind, "r+", tmp_path), tmp_path, journal=False, resume=False)
    out = opened(kind, "r+", tmp_path)
    out[:2] = 1
    again = Adds(1)
    add(again, out, tmp_path)
    assert again.seen == [1, 2, 3]  # what is right by now is right
    assert (np.asarray(out[...]) == 1).all()


@pytest.mark.parametrize("suffix", [".npy", ".zarr", ".ome.zarr", ".tif", ".h5"])
@pytest.mark.parametrize("journal", [None, "j"])
def test_a_finished_run_that_is_asked_for_again_gives_its_output_at_once(
    suffix: str, journal: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    calls: list[int] = []

    def negative(block: np.ndarray, tile: Any) -> np.ndarray:
        calls.append(tile.number)
        return -block

    def run(**options: Any) -> Any:
        options = {"identity": "it", "journal": journal, "resume": True} | options
        return map_tiles(
            negative, VOLUME, out=f"o{suffix}", tile_shape=VOLUME.shape, pass_tile=True, executor="serial", **options
        )

    for _ in range(3):
        np.testing.assert_array_equal(np.asarray(run()), -VOLUME)
    assert calls == [0]
    assert sorted(os.listdir()) == sorted([f"o{suffix}", *filter(None, [journal])])
    with pytest.raises(OutputExistsError, match="overwrite"):
        run(identity="another")
    np.testing.assert_array_equal(np.asarray(run(resume=False, overwrite=True)), -VOLUME)
    assert calls == [0, 0]


def test_a_finished_output_that_was_changed_since_is_not_taken_for_finished(tmp_path: Path) -> None:
    out = tmp_path / "o.npy"
    run: dict[str, Any] = {"out": out, "tile_shape": 4, "executor": "serial", "resume": True}
    map_tiles(np.negative, VOLUME, **run)
    np.save(out, VOLUME)
    with pytest.raises(OutputExistsError, match="overwrite"):
        map_tiles(np.negative, VOLUME, **run)
    np.testing.assert_array_equal(map_tiles(np.negative, VOLUME, overwrite=True, **run), -VOLUME)


def test_a_journal_named_in_another_way_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    function = Counting(tmp_path)
    (tmp_path / "fail").touch()
    run: dict[str, Any] = {"out": "o.npy", "journal": "o.npy.journal", "pass_tile": True, **TILES}
    with pytest.raises(TileError):
        map_tiles(function, VOLUME, retries=0, on_error="finish", **run)
    (tmp_path / "fail").unlink()
    function.calls()
    map_tiles(function, VOLUME, resume=True, **run)
    assert function.calls() == [3, 4, 5]
    assert not (tmp_path / "o.npy.journal").exists()


def test_a_run_without_a_journal_in_between_leaves_none_of_another_output(tmp_path: Path) -> None:
    command = [sys.executable, "-c", AGAIN, "path"]
    for how in ("kill", "other"):
        assert subprocess.run([*command, how], cwd=tmp_path).returncode == -signal.SIGKILL
    subprocess.run([*command, "again"], cwd=tmp_path, check=True)
    assert (np.load(tmp_path / "o.npy") == -1).all()


@pytest.mark.parametrize("dtype", [None, "f8"])
def test_a_run_begun_anew_and_killed_before_its_first_tile_leaves_no_old_journal(dtype: Any, tmp_path: Path) -> None:
    """The second of three runs starts again and dies in its pilot; the third does not use the first one's journal."""
    options: dict[str, Any] = {"out": tmp_path / "o.npy", "dtype": dtype, "executor": "serial"}

    def first() -> None:
        done: list[int] = []

        def die(event: Any) -> None:
            done.append(isinstance(event, TileDone))
            if sum(done) == 3:
                os.kill(os.getpid(), signal.SIGKILL)

        map_tiles(np.square, VOLUME, tile_shape=(2, 9, 10), callbacks=[die], **options)

    def second() -> None:
        RunPlanning.tiles = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign]
        map_tiles(np.square, VOLUME, **options)

    for run in (first, second):
        assert Session(run).wait()[0] == -signal.SIGKILL
    np.testing.assert_array_equal(map_tiles(np.square, VOLUME, resume=True, **options), np.square(VOLUME))


def test_a_child_of_a_tile_does_not_hold_the_journal(tmp_path: Path) -> None:
    """A killed run is continued although a process that it started still lives."""
    options: dict[str, Any] = {"out": tmp_path / "o.npy", "dtype": "f8", "executor": "serial", "tile_shape": (2, 9, 10)}

    def run() -> None:
        map_tiles(Forking(tmp_path), VOLUME, callbacks=[lambda e: isinstance(e, TileDone) and os._exit(9)], **options)

    assert Session(run).wait()[0] == 9
    child = int((tmp_path / "child").read_text())
    try:
        result = map_tiles(Forking(tmp_path), VOLUME, resume=True, **options)
        assert alive([child])
    finally:
        os.kill(child, signal.SIGKILL)
    np.testing.assert_array_equal(result, VOLUME)


class Forking:
    """Function that starts a process that outlives it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, block: np.ndarray) -> np.ndarray:
        if not (self.folder / "child").exists():
            pid = os.fork()
            if pid == 0:
                os.setsid()
                os.closerange(0, 3)
                time.sleep(FOR_EVER)
            (self.folder / "child").write_text(str(pid))
        return block + 0.0


def test_one_run_at_a_time(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", {"run": 1}), pytest.raises(JournalError, match="in use"):
        Journal(tmp_path / "j", {"run": 1}, resume=True)


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("precious")
    (tmp_path / "j").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="symbolic|ELOOP|Too many"):
        Journal(tmp_path / "j", {"run": 1})
    assert (tmp_path / "target").read_text() == "precious"


SCRIPT = """
import sys
from pathlib import Path
import numpy as np
from tests.faults.harness import PidLog
from tilecore import map_tiles

folder = Path(sys.argv[1])
map_tiles(PidLog(folder), np.load(folder / "v.npy"), tile_shape=(1, 9, 10), out=folder / "o.npy", dtype="f8",
          pass_tile=True, workers=2, resume=True, progress=False)
"""


def test_a_run_killed_again_and_again_goes_on(tmp_path: Path) -> None:
    volume = np.random.default_rng(0).random((60, 9, 10))
    np.save(tmp_path / "v.npy", volume)
    (tmp_path / "run.py").write_text(SCRIPT)
    command = [sys.executable, str(tmp_path / "run.py"), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    log, n_done = PidLog(tmp_path), 0
    for n_more in (12, 1, 30):
        # Two tiles hold, and are lost with the run; the others are done.
        n_free, n_done = len(log.lines()) + n_more, n_done + n_more
        log.hold_after(n_free)
        process = subprocess.Popen(command, env=environment)
        wait_until(lambda n_done=n_done: tiles_in_journal(tmp_path / "o.npy.journal") == n_done)
        log.wait_for(n_free + 2)
        process.kill()
        process.wait()
    (tmp_path / "hold").unlink()
    subprocess.run(command, check=True, env=environment)
    np.testing.assert_array_equal(np.load(tmp_path / "o.npy"), volume + 1)
    tiles = [tile for _, tile in log.lines()]
    assert set(tiles) == set(range(60))
    assert len(tiles) == 60 + 3 * 2  # nothing is done again but what was in the making
