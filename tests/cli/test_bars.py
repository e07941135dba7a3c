"""Tests of the names that bars of progress have: that of the user's function, or of the subcommand."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.commands import run
from tests.recordings.files import made, write
from tilecore.engine import run as runs
from tilecore.engine.progress import choose_progress

RAW = ["raw.bin", "--dtype", "int16", "--channels", 4, "--order", "samples"]
ALONE = ["--executor", "serial"]


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["convert", "v.npy", "o.npy", *ALONE], "convert"),
        (["sample", "synthetic", "--shape", 8, 8, 8, "-o", "o.npy", *ALONE], "sample"),
        (["map", "v.npy", "--function", "numpy:abs", "-o", "o.npy", *ALONE], "absolute"),
        (["map", "v.npy", "--function", "./bars_of_mine.py:half", "-o", "o.npy", *ALONE], "half"),
        (["batch", *RAW, "--function", "./bars_of_mine.py:half", "-o", "o.bin", "--processes", 1], "half"),
        (
            [
                "batch",
                *RAW,
                "--function",
                "./bars_of_mine.py:half",
                "-o",
                "o.bin",
                "--processes",
                1,
                "--single-channel",
            ],
            "half",
        ),
        (["blobs", "v.npy", "--min-sigma", 1, "--max-sigma", 2, "-o", "o.csv", *ALONE], "detect_blobs"),
        (
            ["blobs", "v.npy", "--detector", "./bars_of_mine.py:spots", "--halo", 1, "-o", "o.csv", *ALONE],
            "./bars_of_mine.py:spots",
        ),
    ],
)
def test_a_bar_is_called_after_what_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[Any], name: str
) -> None:
    names = []

    def chosen(progress: bool | None, description: str = "tiles") -> Any:
        names.append(description)
        return choose_progress(progress, description)

    monkeypatch.setattr(runs, "choose_progress", chosen)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))  # put back what the command adds
    monkeypatch.delitem(sys.modules, "bars_of_mine", raising=False)
    np.save("v.npy", np.random.default_rng(0).random((8, 8, 8)))
    write(Path("raw.bin"), made(1000, 4))
    Path("bars_of_mine.py").write_text(
        "import numpy as np\n"
        "def half(block): return block // 2\n"
        "def spots(block): return np.argwhere(block == block.max())[:1]\n"
    )
    assert run(*arguments) == 0
    assert set(names) == {name}
