"""Printing: facts with their names, and rows in columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = ["print_facts", "print_rows"]


def print_facts(facts: Mapping[str, object]) -> None:
    """Print each fact on a line of its own, after its name."""
    print_rows([(name, str(value)) for name, value in facts.items()])


def print_rows(rows: Sequence[Sequence[str]], indent: str = "") -> None:
    """Print rows of texts, in columns as wide as they have to be."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print(indent + "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
