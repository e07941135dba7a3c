"""The reference is whole: every public name stands on one page of it, and every subcommand on one."""

from __future__ import annotations

import re
from collections import Counter

import pytest

import tilecore
from tests.documents.running import ROOT
from tilecore.compat import magmap, scout

PAGES = sorted((ROOT / "docs" / "reference" / "api").glob("*.rst"))


def documented() -> Counter[str]:
    """Names that pages describe, and how often."""
    directive = re.compile(r"^\.\. (?:auto)?(?:function|class|exception|data):: (\S+)$", re.MULTILINE)
    return Counter(name for page in PAGES for name in directive.findall(page.read_text()))


def test_every_public_name_is_on_one_page() -> None:
    names = documented()
    assert set(tilecore.__all__) <= set(names)
    assert {name: times for name, times in names.items() if times > 1} == {}
    assert {name for name in names if "." not in name} <= set(tilecore.__all__)


@pytest.mark.parametrize("module", [magmap, scout])
def test_every_old_name_is_listed(module: object) -> None:
    text = (ROOT / "docs" / "reference" / "api" / "old_names.rst").read_text()
    title = f"``{module.__name__}``\n"
    listed = re.findall(r"^   (?:compat\.\w+\.)?(\w+)$", text[text.index(title) :].split("\n.. auto")[1], re.MULTILINE)
    assert listed == module.__all__


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_page_is_in_the_contents(page: object) -> None:
    contents = (ROOT / "docs" / "reference" / "index.rst").read_text()
    assert f"   api/{page.stem}\n" in contents
