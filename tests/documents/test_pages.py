"""The documents for users: whole, well formed, and true of everything they show."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import docutils.core
import fsspec
import pytest

from tests.documents.pages import not_run
from tests.documents.running import ROOT, environment_with_tilecore, run_page
from tests.objects.server import new_bucket, serving, use_endpoint
from tilecore.cli import main

#: Pages that are read outside of the site, too, and so hold nothing that Sphinx alone knows.
PLAIN = [*sorted(ROOT.glob("*.rst")), *sorted((ROOT / "examples").rglob("*.rst"))]
SITE = sorted(path for path in (ROOT / "docs").rglob("*.rst") if not {"_build", "generated"} & set(path.parts))


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


every_page = pytest.mark.parametrize("path", [*PLAIN, *SITE], ids=_name)


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty current folder, from which modules can be imported, and that leaves none behind."""
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(folder)):
            del sys.modules[name]


@pytest.fixture
def bucket_of_pages(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What the reader of the page about object stores has: credentials, and a bucket that is called my-bucket."""
    with serving() as (endpoint, _):
        use_endpoint(endpoint, monkeypatch)
        new_bucket(endpoint, "my-bucket")
        yield
    fsspec.filesystem("memory").store.clear()


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=pytest.mark.slow if path.parent.name == "howto" else ()) for path in [*PLAIN, *SITE]],
    ids=_name,
)
def test_everything_a_page_shows_is_so(
    path: Path, empty_folder: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if path.name == "object_stores.rst":
        request.getfixturevalue("bucket_of_pages")
    commands = tmp_path / "commands"
    commands.mkdir()
    run_page(path.read_text(), str(path.relative_to(ROOT)), environment_with_tilecore(commands))


@pytest.mark.parametrize("path", PLAIN, ids=lambda path: str(path.relative_to(ROOT)))
def test_document_is_well_formed(path: Path) -> None:
    text = path.read_text()
    docutils.core.publish_doctree(text, settings_overrides={"halt_level": 2, "report_level": 5})
    assert text.endswith("\n")


@every_page
def test_files_and_commands_that_a_document_names_exist(path: Path) -> None:
    text = path.read_text()
    for name in re.findall(r"``((?:docs|examples|benchmarks|tests|tilecore)/[\w./-]+)``", text):
        assert (ROOT / name).exists(), name
    for line in re.findall(r"^ +(tilecore [a-z].*)$", re.sub(r"\\\n *", "", not_run(text)), re.MULTILINE):
        arguments = shlex.split(line, comments=True)[1:]
        main._parser(arguments).parse_args(arguments)


@every_page
def test_lines_are_short(path: Path) -> None:
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        is_one_word = max(map(len, line.split()), default=0) > 100  # the name of a test cannot be broken
        assert len(line) <= 120 or is_one_word, f"{path.name}, line {number} has {len(line)} characters"
