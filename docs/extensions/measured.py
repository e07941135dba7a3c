"""``.. measured:: NAME``: the table of a benchmark in ``benchmarks/RESULTS.md``; no figure is copied by hand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

RESULTS = Path(__file__).parents[2] / "benchmarks" / "RESULTS.md"

# A contender, its median, smallest and largest time [s], and its ratio to tilecore's.
_ROW = re.compile(r"^  (\S.*?)\s{2,}([\d.]+)\s+[\d.]+\s+[\d.]+\s+([\d.]+x)", re.MULTILINE)


class Row(NamedTuple):
    """One contender of a benchmark."""

    contender: str
    median_s: str
    ratio: str


def section(name: str) -> str:
    """What the file tells of one benchmark."""
    parts = re.split(rf"^### {re.escape(name)}$", RESULTS.read_text(), flags=re.MULTILINE)
    if len(parts) != 2:
        raise ValueError(f"{RESULTS.name} has no section {name}")
    return re.split(r"^##", parts[1], flags=re.MULTILINE)[0]


def goal(name: str) -> str:
    """What a benchmark is to show."""
    return re.search(r"^Goal: (.+?)$", section(name), re.MULTILINE)[1]


def rows(name: str) -> list[Row]:
    """The table of a benchmark; ValueError if it has none."""
    found = [Row(*match) for match in _ROW.findall(section(name))]
    if not found:
        raise ValueError(f"{RESULTS.name} has no table of {name}")
    return found


def remarks(name: str) -> list[str]:
    """The lines below the table."""
    block = section(name).split("```")[1]
    return [line.strip() for line in block.splitlines()[2:] if line.strip() and not _ROW.match(line)]


class Measured(SphinxDirective):
    """The name of a benchmark, the content of the directive, the goal, the table, and the lines below it."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(RESULTS))
        name = self.arguments[0]
        lines = [f".. rubric:: {name}", "", *self.content, "", f"Goal: {goal(name)}", "", ".. list-table::"]
        lines += [
            "   :header-rows: 1",
            "   :widths: 60 20 20",
            "",
            "   * - what ran",
            "     - median [s]",
            "     - ratio",
        ]
        for row in rows(name):
            lines += [f"   * - {row.contender}", f"     - {row.median_s}", f"     - {row.ratio}"]
        lines += ["", ".. container:: remarks", "", *(f"   | {remark}" for remark in remarks(name))]
        return self.parse_text_to_nodes(StringList(lines if remarks(name) else lines[:-3], source=str(RESULTS)))


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("measured", Measured)
    return {"parallel_read_safe": True}
