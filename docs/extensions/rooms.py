"""``.. rooms::``: a table of the rooms of ``tilecore/``, by rank, each with the first line of its docstring."""

from __future__ import annotations

import ast
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from tests.test_architecture import PACKAGE, RANKS


def first_line(room: str) -> str:
    """What a room says of itself, as reStructuredText."""
    folder = PACKAGE / room / "__init__.py"
    text = (folder if folder.exists() else PACKAGE / f"{room}.py").read_text()
    return (ast.get_docstring(ast.parse(text)) or "").splitlines()[0]


class Rooms(SphinxDirective):
    """One row for each room, the highest rank first."""

    def run(self) -> list[nodes.Node]:
        lines = [".. list-table::", "   :header-rows: 1", "   :widths: 10 20 70", "", "   * - rank", "     - room"]
        lines.append("     - what it says of itself")
        for room, rank in sorted(RANKS.items(), key=lambda item: -item[1]):
            lines += [f"   * - {rank}", f"     - ``{room}``", f"     - {first_line(room)}"]
        return self.parse_text_to_nodes(StringList(lines, source="rooms"))


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("rooms", Rooms)
    return {"parallel_read_safe": True}
