"""What a page shows, as steps that can be run: examples of Python (``>>>``) and commands (``$``)."""

from __future__ import annotations

import doctest
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

#: Directives that show code. A page uses the first alone: what the others hold would not be run.
SHOWING = ("code-block", "code", "sourcecode", "parsed-literal", "literalinclude", "doctest", "testcode", "prompt")

_DIRECTIVE = re.compile(r"\s*\.\.\s+(?:\|[^|]+\|\s+)?([\w:-]+)::(?:\s+(.*))?$")
_MARGIN = re.compile(r"\s*(?:(?:[*+-]|\d+\.|#\.)\s+)?")


class PageError(AssertionError):
    """A page shows what is not true, or what nobody can run."""


@dataclass(frozen=True)
class Command:
    """A line after ``$``, and the output that the page shows (None: it shows none)."""

    line: int
    command: str
    want: str | None


@dataclass(frozen=True)
class Block:
    """Indented lines that show something: ``kind`` is "console", "text" or "python"."""

    line: int
    kind: str
    lines: list[str]


def steps(text: str) -> list[Command | doctest.Example]:
    """Everything a page lets its reader type, from top to bottom; PageError for a block that cannot be run."""
    lines = text.splitlines()
    commands: list[Command] = []
    for block in list(_blocks(lines)):
        if block.kind == "python":
            continue
        if block.kind == "console":
            commands += _commands(block)
        lines[block.line - 1 : block.line - 1 + len(block.lines)] = [""] * len(block.lines)
    examples = doctest.DocTestParser().get_examples("\n".join(lines) + "\n")
    return sorted([*commands, *examples], key=line_of)


def not_run(text: str) -> str:
    """What a page shows as mere text."""
    return "\n".join(line for block in _blocks(text.splitlines()) if block.kind == "text" for line in block.lines)


def line_of(step: Command | doctest.Example) -> int:
    """Number of a step's first line on the page, from 1."""
    return step.line if isinstance(step, Command) else step.lineno + 1


def _blocks(lines: list[str]) -> Iterator[Block]:
    """Every block of code, by its directive or by the ``::`` before it."""
    number = 0
    while number < len(lines):
        line = lines[number]
        number += 1
        directive = _DIRECTIVE.match(line)
        if directive and directive[1] in SHOWING:
            kind = _kind(directive[1], (directive[2] or "").strip(), number)
        elif not directive and line.rstrip().endswith("::"):
            kind = "python"
        else:
            continue
        start = number
        number += _length(lines[start:], margin=len(_MARGIN.match(line)[0]))
        block = Block(start + 1, kind, lines[start:number])
        if kind == "python":
            _check_prompts(block)
        yield block


def _kind(directive: str, language: str, line: int) -> str:
    if directive != "code-block" or language not in ("console", "text"):
        shown = f"{directive}:: {language}".strip()
        how = "write Python with >>>, commands as code-block:: console"
        raise PageError(f"line {line}: '.. {shown}' is not run; {how}")
    return language


def _length(lines: list[str], margin: int) -> int:
    """How many of the lines are indented more than the margin, the empty ones among them included."""
    length = 0
    for number, line in enumerate(lines, start=1):
        if line.strip():
            if len(line) - len(line.lstrip()) <= margin:
                break
            length = number
    return length


def _check_prompts(block: Block) -> None:
    """After ``::`` every paragraph begins with ``>>>``: nothing else of such a block would be run."""
    paragraphs = re.split(r"\n\s*\n", textwrap.dedent("\n".join(block.lines)).strip("\n"))
    for paragraph in paragraphs:
        if not paragraph.startswith(">>> "):
            first = paragraph.splitlines()[0] if paragraph else "nothing"
            raise PageError(f"line {block.line}: a block after '::' that is not run: {first}")


def _commands(block: Block) -> list[Command]:
    """The commands of a console block. A line that ends with a backslash goes on in the next one."""
    lines = textwrap.dedent("\n".join(block.lines)).split("\n")
    found: list[Command] = []
    number = 0
    while number < len(lines):
        line, start = lines[number], number
        number += 1
        if not line.startswith("$ "):
            if line.strip():
                raise PageError(f"line {block.line + start}: a console block begins with '$ ': {line}")
            continue
        while line.endswith("\\") and number < len(lines):
            line = line[:-1] + lines[number].strip()
            number += 1
        output = number
        while number < len(lines) and not lines[number].startswith("$ "):
            number += 1
        want = "\n".join(lines[output:number]).strip("\n")
        found.append(Command(block.line + start, line[2:], want + "\n" if want else None))
    return found
