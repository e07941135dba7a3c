"""Tests of partial outputs: folders of runs that live, were killed, or were forked."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.faults.harness import FOR_EVER, Session, places, wait_until
from tilecore import (
    MissingFileError,
    OutputExistsError,
    UnwritableFileError,
    create_sink,
    locked_file,
    open_source,
    output_file,
    renaming,
)
from tilecore.engine.journal_file import JournalFile
from tilecore.locked_file import LockedFile, LockedRange
from tilecore.output_file import Place, finished, new_token, remove_abandoned

TOKEN = "0123456789abcdef"


def process_with_a_place(path: Path) -> subprocess.Popen[str]:
    """Another program that holds the folder of an output, and writes nothing more."""
    code = f"""
import sys, time
from pathlib import Path
from tilecore.output_file import Place
place = Place.create(Path(sys.argv[1]))
place.data.write_text("half")
print(place.token, flush=True)
time.sleep({FOR_EVER})
"""
    return subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)


def token_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize("name", ["b.csv", "b[1].csv", "b*.csv", "temporary", "ä b.ome.zarr"])
def test_what_killed_processes_have_left_is_removed_and_nothing_else(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    strangers = [
        f"{name}.partial",
        f"{name}.{TOKEN}.partial.txt",
        f"b1.csv.{TOKEN}.partial",
        f"x{name}.{TOKEN}.partial",
    ]
    for stranger in strangers:
        (tmp_path / stranger).mkdir()
    (tmp_path / f"{name}.{'a' * 16}.partial").write_text("a file")
    (tmp_path / f"{name}.{'b' * 16}.partial").symlink_to(tmp_path / strangers[0])
    with process_with_a_place(path) as dead, process_with_a_place(path) as live:
        tokens = token_of(dead), token_of(live)
        dead.kill()
        dead.wait()
        try:
            assert [Place.open(path, token).data.read_text() for token in tokens] == ["half"] * 2
            with finished(path) as data:
                assert data.name == name
                assert Place(path, tokens[0]).folder not in places(path)
                data.write_text("whole")
            with pytest.raises(MissingFileError, match="no longer exists"):
                Place.open(path, tokens[0])
            assert Place.open(path, tokens[1]).data.read_text() == "half"
        finally:
            live.kill()
    assert path.read_text() == "whole"
    remove_abandoned(path)
    left = {name, *strangers, f"{name}.{'a' * 16}.partial", f"{name}.{'b' * 16}.partial"}
    assert set(os.listdir(tmp_path)) == left


def test_a_place_that_was_killed_before_it_was_locked_is_removed_if_it_is_empty(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"o.npy.{number:016x}.partial").mkdir()
    (tmp_path / f"o.npy.{2:016x}.partial" / "notes").touch()  # nobody's place
    remove_abandoned(tmp_path / "o.npy")
    assert os.listdir(tmp_path) == [f"o.npy.{2:016x}.partial"]


def test_a_place_that_is_taken_for_a_killed_runs_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that another process removes before it is locked is created again."""
    mkdir, n_made = Path.mkdir, []

    def removed_at_once(self: Path, **options: Any) -> None:
        mkdir(self, **options)
        n_made.append(self)
        if len(n_made) < 3:
            remove_abandoned(tmp_path / "o.npy")
            assert not self.exists()

    monkeypatch.setattr(Path, "mkdir", removed_at_once)
    place = Place.create(tmp_path / "o.npy")
    assert len(n_made) == 3
    remove_abandoned(tmp_path / "o.npy")
    assert place.folder.exists()


@pytest.mark.parametrize("target", ["folder", "nothing"])
def test_a_link_in_the_way_is_not_followed(tmp_path: Path, target: str) -> None:
    """A link in the way is not followed, even if somebody could guess its name."""
    (tmp_path / "folder").mkdir()
    (tmp_path / f"o.npy.{TOKEN}.partial").symlink_to(tmp_path / target)
    with pytest.raises(FileExistsError):
        Place.create(tmp_path / "o.npy", TOKEN)
    assert not os.listdir(tmp_path / "folder")
    assert not (tmp_path / "nothing").exists()
    assert (tmp_path / f"o.npy.{TOKEN}.partial").is_symlink()


def test_names_that_an_older_scheme_would_have_used_are_left_alone(tmp_path: Path) -> None:
    """Files and links with names of an older scheme belong to the user and stay."""
    (tmp_path / "precious").write_text("mine")
    for name in (".o.partial.csv", "o.csv.partial", "o.csv.replaced"):
        (tmp_path / name).symlink_to(tmp_path / "precious")
    before = sorted(os.listdir(tmp_path))
    for content in ("first", "second"):
        with finished(tmp_path / "o.csv") as data:
            data.write_text(content)
    assert (tmp_path / "o.csv").read_text() == "second"
    assert (tmp_path / "precious").read_text() == "mine"
    assert sorted(os.listdir(tmp_path)) == sorted([*before, "o.csv"])


def test_a_link_that_has_the_final_name_is_replaced_itself(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "o.csv").symlink_to(tmp_path / "precious")
    (tmp_path / "o.npy").symlink_to(tmp_path / "nothing")
    with finished(tmp_path / "o.csv") as data:
        data.write_text("new")
    assert (tmp_path / "precious").read_text() == "mine"
    assert (tmp_path / "o.csv").read_text() == "new"
    with pytest.raises(OutputExistsError):
        create_sink(tmp_path / "o.npy", (2,), "u1")


def test_a_block_that_raises_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "o.csv").write_text("old")
    with pytest.raises(KeyError), finished(tmp_path / "o.csv") as data:
        data.write_text("half")
        raise KeyError
    assert (tmp_path / "o.csv").read_text() == "old"
    assert os.listdir(tmp_path) == ["o.csv"]


def test_a_child_does_not_keep_a_place(tmp_path: Path) -> None:
    """A killed run's folder is free although a process that it started still lives."""

    def run() -> None:
        create_sink(tmp_path / "o.zarr", (4, 4, 4), "u1")
        pid = os.fork()
        if pid == 0:
            os.setsid()
            os.closerange(0, 3)
            time.sleep(FOR_EVER)
        (tmp_path / "child").write_text(str(pid))
        os.kill(os.getpid(), signal.SIGKILL)

    assert Session(run).wait()[0] == -signal.SIGKILL
    try:
        assert len(places(tmp_path / "o.zarr")) == 1
        remove_abandoned(tmp_path / "o.zarr")
        assert not places(tmp_path / "o.zarr")
    finally:
        os.kill(int((tmp_path / "child").read_text()), signal.SIGKILL)


def test_only_one_run_goes_on(tmp_path: Path) -> None:
    with process_with_a_place(tmp_path / "o.csv") as process:
        token = token_of(process)
        with pytest.raises(UnwritableFileError, match="in use by another run"):
            Place.resume(tmp_path / "o.csv", token)
        process.kill()
        process.wait()
        place = Place.resume(tmp_path / "o.csv", token)
        with pytest.raises(UnwritableFileError, match="in use by another run"):
            Place.resume(tmp_path / "o.csv", token)
        place.close()
        Place.resume(tmp_path / "o.csv", token).commit()
    assert (tmp_path / "o.csv").read_text() == "half"
    assert os.listdir(tmp_path) == ["o.csv"]


@pytest.mark.parametrize("token", ["", "..", "../x", "0" * 15, "file 12 of 34"])
def test_tokens_of_others_name_no_place(tmp_path: Path, token: str) -> None:
    with pytest.raises(MissingFileError, match="16 hexadecimal digits are needed"):
        Place.open(tmp_path / "o.npy", token)


def test_without_locks_nothing_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without locks nothing is removed, as on Windows and some file systems, as living runs cannot be recognized."""
    with process_with_a_place(tmp_path / "o.csv") as process:
        token = token_of(process)
        process.kill()
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with finished(tmp_path / "o.csv") as data:
        data.write_text("whole")
    assert (tmp_path / "o.csv").read_text() == "whole"
    assert places(tmp_path / "o.csv") == [Place(tmp_path / "o.csv", token).folder]


def test_a_place_that_cannot_be_removed_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    place = Place.create(tmp_path / "o.csv")
    with caplog.at_level(logging.WARNING), pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "rmdir", lambda *_, **__: (_ for _ in ()).throw(OSError("busy")))
        place.discard()
    assert f"{place.folder} could not be removed" in caplog.text


def test_a_locked_file_that_is_removed_meanwhile_is_opened_anew(tmp_path: Path) -> None:
    first = LockedFile(tmp_path / "lock")
    with pytest.raises(BlockingIOError):
        LockedFile(tmp_path / "lock")
    (tmp_path / "lock").unlink()
    second = LockedFile(tmp_path / "lock")
    assert not os.path.samestat(os.fstat(first.descriptor), os.fstat(second.descriptor))


@pytest.mark.parametrize("kind", ["journal", "bytes", "place", "place of another run"])
def test_a_fork_of_a_killed_run_keeps_nobody_out(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fork of a run that was killed while forking gives its inherited locks up soon."""
    path = tmp_path / "o.npy"
    held: Any
    if kind == "journal":
        held, take = LockedFile(path), lambda: JournalFile(path).close()
    elif kind == "bytes":
        path.write_bytes(bytes(100))
        held, take = LockedRange(str(path), 0, 50), lambda: LockedRange(str(path), 40, 20).close()
    else:
        held = Place.create(path)
        held.data.touch()
        resumes = kind == "place"

        def take() -> None:
            (Place.resume(path, held.token) if resumes else Place.create(path, alone=True)).discard()

    lets_go = SimpleNamespace(monotonic=time.monotonic, sleep=lambda _: held.close())
    monkeypatch.setattr(locked_file, "time", lets_go)
    take()


def write_zarr(path: Path, value: int) -> None:
    with create_sink(path, (8, 16, 16), "u1", chunks=(4, 16, 16), overwrite=True) as sink:
        sink[...] = value


def write_csv(path: Path, value: int) -> None:
    with finished(path) as data:
        data.write_text(f"{value}\n" * 9)


def read_csv(path: Path) -> set[int]:
    lines = path.read_text().splitlines()
    assert len(lines) == 9
    return set(map(int, lines))


def read_zarr(path: Path) -> set[int]:
    return set(np.unique(open_source(path)[...]).tolist())


KINDS: dict[str, tuple[Callable[[Path, int], None], Callable[[Path], set[int]]]] = {
    "o.csv": (write_csv, read_csv),
    "o.zarr": (write_zarr, read_zarr),
}


@pytest.mark.parametrize("name", ["o.zarr", "o.ome.zarr"])
def test_two_processes_that_write_one_output_at_once_do_not_mix(tmp_path: Path, name: str) -> None:
    path = tmp_path / name

    def writer(own: int, other: int, round_: int) -> Callable[[], None]:
        def write() -> None:
            with create_sink(path, (8, 16, 16), "u1", chunks=(2, 8, 8), overwrite=True) as sink:
                for plane in range(0, 8, 2):
                    (tmp_path / f"ready-{round_}-{plane}-{own}").touch()
                    wait_until((tmp_path / f"ready-{round_}-{plane}-{other}").exists)
                    sink[plane : plane + 2] = own

        return write

    for round_ in range(20):
        sessions = [Session(writer(own, 3 - own, round_)) for own in (1, 2)]
        assert [session.wait() for session in sessions] == [(0, "")] * 2
        assert read_zarr(path) in ({1}, {2})
        assert not places(path)


@pytest.mark.parametrize("can_exchange", [True, False])
@pytest.mark.parametrize("first", [None, write_csv, write_zarr])
@pytest.mark.parametrize("then", [None, write_csv, write_zarr])
@pytest.mark.parametrize("own", [write_csv, write_zarr])
def test_a_name_that_is_taken_at_the_last_moment(
    own: Any, first: Any, then: Any, can_exchange: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that another run takes or removes between the check and the renaming is handled."""
    path, place = tmp_path / "o.zarr", Place.create(tmp_path / "o.zarr")

    def has_the_name(write: Any) -> None:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        if write is not None:
            write_there(write, path, 1)

    def write_there(write: Any, where: Path, value: int) -> None:
        where.write_text("one") if write is write_csv else (where.mkdir(), (where / "two").write_text(str(value)))

    def interfering(function: Callable[..., Any]) -> Callable[..., Any]:
        def renamed(*arguments: Any) -> Any:
            if interferes:
                interferes.pop()
                has_the_name(then)
            return function(*arguments)

        return renamed

    has_the_name(first)
    write_there(own, place.data, 5)
    interferes = [True]
    monkeypatch.setattr(os, "replace", interfering(os.replace))
    monkeypatch.setattr(output_file, "exchange", interfering(renaming.exchange if can_exchange else lambda *_: False))
    place.commit(overwrite=True)
    assert not interferes
    assert path.read_text() == "one" if own is write_csv else (path / "two").read_text() == "5"
    assert os.listdir(tmp_path) == ["o.zarr"]


class KilledAt:
    """Kills this process at the nth step of a call, counting Python and C functions."""

    def __init__(self, step: int) -> None:
        self.left = step

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("can_exchange", [True, False])
@pytest.mark.parametrize("name", list(KINDS))
@pytest.mark.parametrize("stride", [7, pytest.param(1, marks=pytest.mark.slow)])
def test_who_is_killed_as_it_completes_leaves_the_old_file_or_the_new_one(
    tmp_path: Path, name: str, can_exchange: bool, stride: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, (write, read) = tmp_path / name, KINDS[name]
    if not can_exchange:
        monkeypatch.setattr(renaming, "_renamed", lambda *_: False)
    commit, found = Place.commit, []

    def killed(step: int) -> bool:
        def run() -> None:
            def commit_and_die(self: Place, **options: Any) -> None:
                sys.setprofile(KilledAt(step))
                commit(self, **options)
                sys.setprofile(None)

            Place.commit = commit_and_die  # type: ignore[method-assign]
            write(path, 2)

        write(path, 1)
        code, output = Session(run).wait()
        assert code in (0, -signal.SIGKILL), output
        if name == "o.zarr" and not can_exchange:
            remove_abandoned(path)  # between the two steps there is neither
        found.append(read(path))
        remove_abandoned(path)
        assert os.listdir(tmp_path) == [name]
        return code != 0

    assert any(not killed(step) for step in range(1, 100_000, stride))
    assert found == sorted(found, key=max)
    assert {max(each) for each in found} == {1, 2}
    assert all(len(each) == 1 for each in found)


def test_an_old_output_that_is_in_the_way_again_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An old folder that cannot be exchanged gets its name back if the new one does not get it."""
    monkeypatch.setattr(renaming, "_renamed", lambda *_: False)
    write_zarr(tmp_path / "o.zarr", 1)
    replace = os.replace

    def failing(old: Any, new: Any) -> None:
        if Path(new) == tmp_path / "o.zarr" and not str(old).endswith(".replaced"):
            raise OSError("no")
        replace(old, new)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(OSError, match="no"):
        write_zarr(tmp_path / "o.zarr", 2)
    assert read_zarr(tmp_path / "o.zarr") == {1}


def test_tokens_differ() -> None:
    assert len({new_token() for _ in range(100)}) == 100


def test_an_old_output_is_not_taken_for_the_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that has exchanged them, and is killed before it removes the old one, leaves nothing to be continued."""
    path = tmp_path / "o.zarr"
    path.mkdir()
    (path / "old").touch()
    place = Place.create(path)
    place.data.mkdir()
    (place.data / "new").touch()
    assert Place.open(path, place.token).data == place.data
    with monkeypatch.context() as patch:
        patch.setattr(Place, "discard", Place.close)
        place.commit(overwrite=True)
    assert (path / "new").exists()
    assert (place.data / "old").exists()
    with pytest.raises(MissingFileError, match="is complete"):
        Place.open(path, place.token)
    remove_abandoned(path)
    assert [each.name for each in tmp_path.iterdir()] == ["o.zarr"]
