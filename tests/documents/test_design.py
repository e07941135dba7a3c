"""The pages of the design say what is so: their tests are there, and their packages are those of setup.cfg."""

from __future__ import annotations

import configparser
import re

import pytest

from tests.documents.running import ROOT
from tests.documents.test_pages import PLAIN, SITE

CONFIGURATION = configparser.ConfigParser(interpolation=None)
CONFIGURATION.read(ROOT / "setup.cfg")
FOR_DEVELOPMENT = {"test", "docs", "lint", "bench"}


def requirements(section: str, option: str) -> list[str]:
    """Names of the packages that setup.cfg lists, without their versions."""
    return re.findall(r"^([\w-]+)", CONFIGURATION[section][option].strip(), re.MULTILINE)


def tables() -> list[str]:
    """The two tables of the page, as text."""
    return (ROOT / "docs/design/dependencies.rst").read_text().split(".. list-table::")[1:]


def test_needed_packages_are_those_of_the_configuration() -> None:
    assert re.findall(r"^   \* - ``(.+)``$", tables()[0], re.MULTILINE) == requirements("options", "install_requires")


def test_extras_are_those_of_the_configuration() -> None:
    rows = re.findall(r"^   \* - ``(.+)``\n     -(.*)$", tables()[1], re.MULTILINE)
    listed = {extra: re.findall(r"``(.+?)``", packages) for extra, packages in rows if extra != "all"}
    extras = set(CONFIGURATION["options.extras_require"]) - FOR_DEVELOPMENT
    assert set(listed) | {"all"} == extras
    assert all(packages == requirements("options.extras_require", extra) for extra, packages in listed.items())


@pytest.mark.parametrize("path", [*PLAIN, *SITE], ids=lambda path: str(path.relative_to(ROOT)))
def test_tests_that_a_page_names_exist(path: object) -> None:
    for file, names in re.findall(r"((?:tests|tilecore/testing)/[\w/]+\.py)((?:::\w+)+)", path.read_text()):
        source, last = (ROOT / file).read_text(), names.split("::")[-1]
        assert re.search(rf"^ *(?:def|class) {last}\b", source, re.MULTILINE), f"{file}{names}"


def test_every_test_of_a_fault_is_in_the_table() -> None:
    table = (ROOT / "docs/reference/faults.rst").read_text()
    for path in sorted((ROOT / "tests/faults").glob("test_*.py")):
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE):
            assert f"``tests/faults/{path.name}::{name}``" in table
