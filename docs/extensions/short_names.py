"""A name in a docstring is a link also where it stands without its module: `RunOptions`, `Executor`."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode

#: Kinds of objects whose names are told apart from parameters.
KINDS = {"class", "exception", "function"}


def link(app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.Element) -> nodes.Element | None:
    """Link to the one object of that name, if there is exactly one."""
    if node["refdomain"] != "py":
        return None
    objects = env.get_domain("py").objects
    found = [
        (name, entry)
        for name, entry in objects.items()
        if entry.objtype in KINDS and name.rpartition(".")[2] == node["reftarget"]
    ]
    if len(found) != 1:
        return None
    name, entry = found[0]
    return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, content, name)


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("missing-reference", link)
    return {"parallel_read_safe": True}
