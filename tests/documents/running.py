"""Run a page as its reader would: from top to bottom, with one state, in one folder."""

from __future__ import annotations

import doctest
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.documents.pages import Command, PageError, line_of, steps

ROOT = Path(__file__).parents[2]

#: A command that takes longer hangs [s].
LONGEST_COMMAND = 300


def run_page(text: str, name: str, environment: dict[str, str]) -> int:
    """Run all examples and commands of a page in the current folder; PageError at the first that is not as shown.

    Returns how many there were.
    """
    state: dict[str, Any] = {"__name__": "__main__"}
    todo = steps(text)
    for step in todo:
        where = f"{name}, line {line_of(step)}"
        if isinstance(step, Command):
            _run_command(step, where, environment)
        else:
            _run_example(step, where, state)
    return len(todo)


def environment_with_tilecore(folder: Path) -> dict[str, str]:
    """Variables of a shell that finds ``tilecore`` and ``python``: this tree, and the interpreter that runs."""
    for name, module in (("tilecore", " -m tilecore"), ("python", "")):
        command = folder / name
        command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)}{module} "$@"\n')
        command.chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "COLUMNS": "100",
        "NO_COLOR": "1",
        "MPLBACKEND": "agg",
    }


def _run_example(example: doctest.Example, where: str, state: dict[str, Any]) -> None:
    test = doctest.DocTest([example], {}, where, None, None, None)
    test.globs = state
    try:
        doctest.DebugRunner(verbose=False, optionflags=doctest.ELLIPSIS).run(test, clear_globs=False)
    except doctest.DocTestFailure as failure:
        raise PageError(_difference(where, example.source, example.want, failure.got)) from None
    except doctest.UnexpectedException as failure:
        raise PageError(f"{where}: {example.source.strip()}") from failure.exc_info[1]


def _run_command(command: Command, where: str, environment: dict[str, str]) -> None:
    done = subprocess.run(
        command.command,
        shell=True,
        env=environment,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=LONGEST_COMMAND,
    )
    if done.returncode:
        raise PageError(f"{where}: exit code {done.returncode}: {command.command}\n{done.stdout}")
    if command.want is not None and not _alike(command.want, done.stdout):
        raise PageError(_difference(where, command.command, command.want, done.stdout))


def _alike(want: str, got: str) -> bool:
    """As doctest compares; spaces at the ends of lines do not count, as no page has them."""
    got = "".join(f"{line.rstrip()}\n" for line in got.rstrip().splitlines())
    return doctest.OutputChecker().check_output(want, got, doctest.ELLIPSIS)


def _difference(where: str, source: str, want: str, got: str) -> str:
    return f"{where}: {source.strip()}\nthe page shows:\n{want}\nit gives:\n{got}"
