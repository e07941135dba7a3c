"""``.. command-help::``: what ``--help`` prints, for the command and each of its subcommands."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from typing import Any
from unittest import mock

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from tilecore.cli.main import SUBCOMMANDS, _parser

# Width of the texts [characters], whatever the terminal in which the pages are built.
WIDTH = "92"


def parsers() -> Iterator[argparse.ArgumentParser]:
    """The parser of the command, then those of its subcommands, and of theirs."""
    yield _parser([])
    for name in SUBCOMMANDS:
        own = _choices(_parser([name]))[name]
        yield own
        yield from _choices(own).values()


def _choices(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    subparsers = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return {name: choice for action in subparsers for name, choice in action.choices.items()}


class CommandHelp(SphinxDirective):
    """One section for each parser."""

    def run(self) -> list[nodes.Node]:
        sections: list[nodes.Node] = []
        with mock.patch.dict(os.environ, COLUMNS=WIDTH, NO_COLOR="1"):
            for parser in parsers():
                section = nodes.section(ids=[nodes.make_id(parser.prog)])
                section += nodes.title("", "", nodes.literal("", parser.prog))
                section += nodes.literal_block("", parser.format_help().rstrip(), language="text")
                sections.append(section)
        return sections


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("command-help", CommandHelp)
    return {"parallel_read_safe": True}
