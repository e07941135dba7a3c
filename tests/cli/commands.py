"""Calls of the command ``tilecore`` in this process, as a shell would call it."""

from __future__ import annotations

from typing import Any

import pytest

from tilecore.cli.main import main


def run(*arguments: Any) -> int:
    """Run ``tilecore`` with these arguments; return its exit code."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


def one_line_of(capsys: pytest.CaptureFixture[str], code: int, *words: str) -> None:
    """Check that the input was refused with one line that has these words, and nothing else was printed."""
    output = capsys.readouterr()
    lines = output.err.strip().splitlines()
    assert code == 2, output
    assert len(lines) == 1, lines
    assert not output.out
    for word in words:
        assert word in lines[0]
