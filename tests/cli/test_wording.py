"""Tests of messages on the command line: they name its options, not the library's parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.commands import one_line_of, run
from tilecore.cli.main import SUBCOMMANDS, _parser
from tilecore.cli.wording import in_options

OPTIONS = {name: f"--{name.replace('_', '-')}" for name in ("max_memory", "resume", "level", "tile_shape", "output")}


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("max_memory='lots': a size", "--max-memory 'lots': a size"),
        ("resume=True: there is nothing", "--resume: there is nothing"),
        ("(resume=True)", "(--resume)"),
        ("give tile_shape, or level=2", "give --tile-shape, or --level 2"),
        ("pass level=, or not", "pass --level, or not"),
        ("the level of it", "the level of it"),
        ("out='x' exists", "--output 'x' exists"),
        ("halo=3 is of the library alone", "halo=3 is of the library alone"),
        ("'tile_shape' and /a/tile_shape/level=3.tif", "'tile_shape' and /a/tile_shape/level=3.tif"),
        ("tile_shape.tif, a-level=3, my_level=3", "tile_shape.tif, a-level=3, my_level=3"),
        ("output='a level=2.npy': not found", "--output 'a level=2.npy': not found"),
        ('output="it\'s level=2": not, so level=3', '--output "it\'s level=2": not, so --level 3'),
        ("the file's level=2 isn't", "the file's --level 2 isn't"),
        ("level, tile_shape: not given", "--level, --tile-shape: not given"),
        ("level: files such as 'level=2' have none", "--level: files such as 'level=2' have none"),
        ("halo, level: of the library", "halo, level: of the library"),
        ("channels=[12]: too many", "--level [12]: too many"),
    ],
)
def test_parameters_become_options(message: str, expected: str) -> None:
    assert in_options(message, OPTIONS, {"channels": "level"}) == expected


@pytest.mark.parametrize("subcommand", SUBCOMMANDS)
def test_every_other_name_is_an_option(subcommand: str) -> None:
    """What a subcommand says of its parameters' names is true."""
    parser = next(
        action.choices[subcommand] for action in _parser([subcommand])._actions if isinstance(action.choices, dict)
    )
    names = parser.get_default("names") or {}
    assert set(names.values()) <= set(parser._options())  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["map", "v.npy", "--function", "numpy:abs", "-q", "-o", "o.npy", "--max-memory", "lots"],
            "--max-memory 'lots'",
        ),
        (["map", "v.npy", "--function", "numpy:abs", "-q", "-o", "o.npy", "--workers", "0"], "--workers 0"),
        (["map", "v.npy", "--function", "numpy:abs", "-q", "-o", "o.npy", "--timeout", "-1"], "--timeout -1.0"),
        (["map", "v.npy", "--function", "numpy:abs", "-q", "-o", "v.npy"], "--output 'v.npy'"),
        (["map", "v.npy", "--function", "numpy:abs", "-q", "-o", "o.npy", "--executor", "none"], "--executor 'none'"),
        (["map", "v.npy", "--function", "numpy:abs", "-q", "-o", "there.npy"], "(--overwrite)"),
        (["convert", "v.npy", "o.zarr", "--chunks", "0,1,1"], "--chunks"),
        (["plan", "v.npy", "--bytes-per-voxel", "-1"], "--bytes-per-voxel -1.0"),
        (["info", "v.npy", "--level", "2"], "--level: npy files"),
        (["info", "a level=2.npy", "--level", "2"], "'a level=2.npy'"),
        (["info", "no level=2.npyx"], "'no level=2.npyx'"),
        (["view", "v.bin", "-o", "v.png"], "--dtype, --channels, --order: not given"),
        (["view", "v.npy", "--axes", "AEX", "-o", "v.png"], "AE: allowed are TCZYX and S"),
        (["map", "v.npy", "--axes", "XYZ", "--function", "numpy:abs", "-q", "-o", "v.ome.zarr"], "tilecore convert"),
    ],
)
def test_errors_of_the_library(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[Any],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("v.npy", np.zeros((4, 5, 6)))
    np.save("a level=2.npy", np.zeros((4, 5, 6)))
    np.zeros(12).tofile("v.bin")
    np.save("there.npy", np.zeros((4, 5, 6)))
    one_line_of(capsys, run(*arguments), words)
