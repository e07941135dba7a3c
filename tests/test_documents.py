"""Tests of the user's documents: complete, well formed, and true (examples run as doctests)."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import docutils.core
import pytest

from tilecore.cli import main

ROOT = Path(__file__).parents[1]
PLAIN = [ROOT / "README.rst", ROOT / "CHANGELOG.rst"]
PAGES = sorted((ROOT / "docs").rglob("*.rst"))  # that they are well formed shows when they are built


@pytest.mark.parametrize("path", PLAIN, ids=lambda path: path.name)
def test_document_is_well_formed(path: Path) -> None:
    text = path.read_text()
    docutils.core.publish_doctree(text, settings_overrides={"halt_level": 2, "report_level": 5})
    assert text.endswith("\n")


@pytest.mark.parametrize("path", [*PLAIN, *PAGES], ids=lambda path: path.name)
def test_files_and_commands_that_a_document_names_exist(path: Path) -> None:
    text = path.read_text()
    for name in re.findall(r"``((?:docs|examples|benchmarks)/[\w./-]+)``", text):
        assert (ROOT / name).exists(), name
    for line in re.findall(r"^    (tilecore [a-z].*)$", text.replace("\\\n", ""), re.MULTILINE):
        arguments = shlex.split(line)[1:]
        main._parser(arguments).parse_args(arguments)
