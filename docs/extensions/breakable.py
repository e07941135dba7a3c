"""Long names, as of tests, may break after a slash, a colon or an underscore, so that tables stay narrow."""

from __future__ import annotations

import html
import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

LONGEST = 30


def let_break(app: Sphinx, doctree: nodes.document, docname: str) -> None:  # noqa: ARG001
    """Put a place to break, which nobody sees or copies, behind each sign of a long name in a table."""
    if app.builder.format != "html":
        return
    for literal in list(doctree.findall(nodes.literal)):
        text = literal.astext()
        if len(text) > LONGEST and " " not in text and _in_table(literal):
            broken = re.sub(r"(/|::|_)", r"\1<wbr>", html.escape(text))
            shown = f'<code class="docutils literal notranslate"><span class="pre">{broken}</span></code>'
            literal.replace_self(nodes.raw("", shown, format="html"))


def _in_table(node: nodes.Node | None) -> bool:
    return node is not None and (isinstance(node, nodes.entry) or _in_table(node.parent))


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("doctree-resolved", let_break)
    return {"parallel_read_safe": True}
