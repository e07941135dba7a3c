"""Tests of functions that an argument names: by a module, or by a file; and of paths that begin with ``~``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.commands import one_line_of, run
from tilecore import map_tiles, open_source, plugins, read_blobs

VOLUME = np.arange(6 * 8 * 8, dtype=np.uint16).reshape(6, 8, 8)
MODULE = """
from a_neighbour_of_mine import factor

def third(block):
    return block // factor

class Divider:
    by = 4
    def divide(self, block):
        return block // self.by
    @staticmethod
    def halve(block):
        return block // 2
    @classmethod
    def quarter(cls, block):
        return block // cls.by
    class Inner:
        def fifth(self, block):
            return block // 5

class Needy:
    def __init__(self, by):
        self.by = by
    def divide(self, block):
        return block // self.by
"""


@pytest.fixture(autouse=True)
def _with_a_file_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A current folder with a volume, and another folder with a file of functions and its neighbour."""
    here, there = tmp_path / "here", tmp_path / "there"
    (there / "a_package" / "inner").mkdir(parents=True)
    here.mkdir()
    np.save(here / "v.npy", VOLUME)
    (there / "of_my_own.py").write_text(MODULE)
    (there / "a_neighbour_of_mine.py").write_text("factor = 3\n")
    for folder in ("a_package", "a_package/inner"):
        (there / folder / "__init__.py").write_text("")
    (there / "a_package" / "numbers_of_it.py").write_text("six = 6\n")
    (there / "a_package" / "inner" / "deep.py").write_text(
        "from ..numbers_of_it import six\ndef sixth(block): return block // six\n"
    )
    monkeypatch.chdir(here)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("HOME", str(there))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.mark.parametrize("executor", ["serial", "processes"])
@pytest.mark.parametrize("place", ["../there/of_my_own.py", "~/of_my_own.py", "{there}/of_my_own.py"])
def test_a_function_of_a_file(tmp_path: Path, place: str, executor: str) -> None:
    function = f"{place.format(there=tmp_path / 'there')}:third"
    common = ["map", "v.npy", "-o", "o.npy", "-q", "-j", 2, "--tile-shape", 4, "--executor", executor]
    assert run(*common, "--function", function) == 0
    np.testing.assert_array_equal(np.load("o.npy"), VOLUME // 3)


@pytest.mark.parametrize(
    ("name", "divisor"),
    [
        ("of_my_own.py:Divider.divide", 4),
        ("of_my_own.py:Divider.halve", 2),
        ("of_my_own.py:Divider.quarter", 4),
        ("of_my_own.py:Divider.Inner.fifth", 5),
        ("a_package/inner/deep.py:sixth", 6),
    ],
)
@pytest.mark.parametrize("executor", ["serial", "processes"])
def test_what_a_class_or_a_package_holds(name: str, divisor: int, executor: str) -> None:
    function = plugins.load(f"~/{name}")
    tiled = map_tiles(function, VOLUME, tile_shape=4, executor=executor, workers=2)
    np.testing.assert_array_equal(tiled, VOLUME // divisor)


def test_a_method_of_a_module(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path / "there")
    common = ["map", "../here/v.npy", "-o", "o.npy", "-q", "--executor", "serial"]
    assert run(*common, "--function", "of_my_own:Divider.divide") == 0
    np.testing.assert_array_equal(np.load("o.npy"), VOLUME // 4)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("./nowhere.py:f", ["nowhere.py:f", "no such file"]),
        ("~/of_my_own.py:fourth", ["of_my_own.py:fourth", "no attribute 'fourth'"]),
        ("~/of_my_own.py", ["--function", "FILE.py:NAME"]),
        ("~/of_my_own.py:Needy.divide", ["Needy.divide", "missing 1 required positional argument: 'by'"]),
        ("~/queue.py:f", ["queue.py:f", "rename the file"]),
        ("~/with.dots.py:f", ["with.dots.py:f", "rename the file"]),
        ("~/zarr.py:f", ["zarr.py:f", "is the module", "rename the file"]),
    ],
)
def test_what_cannot_be_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], function: str, words: list[str]
) -> None:
    import zarr  # noqa: F401  so that its name is taken

    for name in ("queue", "with.dots", "zarr"):
        (tmp_path / "there" / f"{name}.py").write_text("def f(block): return block\n")
    one_line_of(capsys, run("map", "v.npy", "--function", function, "-o", "o.npy", "-q"), *words)


def test_a_home_in_every_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = tmp_path / "there"
    np.save(home / "v.npy", VOLUME)
    common = ["-q", "--executor", "serial", "--tile-shape", 4]
    assert run("info", "~/v.npy") == 0
    assert run("convert", "~/v.npy", "~/c.npy", *common) == 0
    assert run("map", "~/c.npy", "--function", "~/of_my_own.py:third", "--output=~/o.npy", *common) == 0
    assert run("sample", "synthetic", "--shape", 8, 8, 8, "-o", "~/s.npy", "--truth=~/t.csv", *common) == 0
    assert {"c.npy", "o.npy", "s.npy", "t.csv"} <= {path.name for path in home.iterdir()}
    one_line_of(capsys, _quietly(capsys, "map", "~/v.npy", "--function", "numpy:abs", "-o", "~/v.npy", "-q"), "v.npy")
    out: Any = map_tiles(np.abs, "~/v.npy", out="~/a.npy", journal="~/a.journal", executor="serial")
    np.testing.assert_array_equal(out, open_source("~/a.npy")[...])
    assert (home / "a.npy").exists()
    assert len(read_blobs("~/t.csv")) >= 0
    assert not Path("~").exists()


def _quietly(capsys: pytest.CaptureFixture[str], *arguments: Any) -> int:
    capsys.readouterr()
    return run(*arguments)
