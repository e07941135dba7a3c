"""The parser of the command line: it guesses mistyped names, and takes numbers with commas or spaces between them."""

from __future__ import annotations

import argparse
import itertools
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from tilecore.errors import alike

__all__ = ["Numbers", "Parser"]

# Arguments that are paths, though their type is text: such as file.h5:/path.
_PATHS = ("input", "output")
# One number, or several with commas between them.
_NUMBERS = re.compile(r"[-+.,\deE]*\d[-+.,\deE]*")


class Numbers(argparse.Action):
    """An option of one or several numbers, as ``3,2,1`` or ``3 2 1``; its value is a tuple, or the one number.

    Parameters
    ----------
    kind : callable
        int or float.
    count : int, optional
        How many there must be; default: any number.
    is_list : bool
        Whether the value is a tuple also of one number, which otherwise counts for all axes.
    **options
        Of `argparse.Action`.
    """

    def __init__(
        self,
        *,
        kind: Callable[[str], float] = int,
        count: int | None = None,
        is_list: bool = False,
        **options: str | bool,
    ) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self._kind, self._count, self._is_list = kind, count, is_list

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, text: object, option: str | None = None
    ) -> None:
        """Store the numbers."""
        try:
            numbers = tuple(map(self._kind, str(text).split(",")))
        except ValueError:
            what = "whole numbers" if self._kind is int else "numbers"
            raise argparse.ArgumentError(self, f"{str(text)!r} must be {what}, such as 8 or 4,8,8") from None
        if self._count not in (None, len(numbers)):
            raise argparse.ArgumentError(self, f"{str(text)!r} must be {self._count} numbers")
        setattr(namespace, self.dest, numbers if self._is_list or len(numbers) > 1 else numbers[0])


class Parser(argparse.ArgumentParser):
    """A parser that guesses what a mistyped name was meant to be, and that knows its options by their parameters.

    Parameters
    ----------
    **options
        Of `argparse.ArgumentParser`.
    """

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse arguments; an unknown option is told before a missing one, as it may be the same."""
        given = self._joined(sys.argv[1:] if args is None else args)
        self._refuse_unknown(given)
        parsed, rest = super().parse_known_args(given, namespace)
        if not self._subcommands():
            parsed.option_of = self._options()
            _find_home(parsed)
        return parsed, rest

    def error(self, message: str) -> NoReturn:
        """Print the message and how to get help, and exit with 2; the usage alone is longer than a screen."""
        self.exit(2, f"{self.prog}: error: {message} ({self.prog} --help tells more)\n")

    def _joined(self, words: Sequence[str]) -> list[str]:
        """Join the numbers that follow an option of several by commas; what follows them is not taken for one."""
        joined: list[str] = []
        for word in words:
            are_numbers = all(map(_NUMBERS.fullmatch, [*joined[-1:], word]))
            if are_numbers and len(joined) > 1 and self._takes_numbers(joined[-2]):
                joined[-1] += f",{word}"
            else:
                joined.append(word)
        return joined

    def _takes_numbers(self, word: str) -> bool:
        """Whether a word is an option of several numbers, or the beginning of its name."""
        known = [name for name in self._option_string_actions if word.startswith("--") and name.startswith(word)]
        chosen = [word] if word in known else known
        return len(chosen) == 1 and isinstance(self._option_string_actions[chosen[0]], Numbers)

    def _refuse_unknown(self, arguments: list[str]) -> None:
        """Refuse long options that this parser does not have, up to a subcommand or ``--``."""
        ends = {"--", *self._subcommands()}
        for argument in itertools.takewhile(lambda each: each not in ends, arguments):
            name = argument.partition("=")[0]
            if name.startswith("--") and not any(known.startswith(name) for known in self._option_string_actions):
                self.error(f"there is no option {name}{alike(name, self._option_string_actions)}")

    def _check_value(self, action: argparse.Action, value: object) -> None:
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            guess = alike(str(value), map(str, action.choices or ()))
            raise argparse.ArgumentError(action, f"{error.message}{guess}") from None

    def _subcommands(self) -> list[str]:
        """Names of the subcommands; none of a parser that has none."""
        parsers = [action for action in self._actions if isinstance(action, argparse._SubParsersAction)]
        return [name for action in parsers for name in action.choices]

    def _options(self) -> dict[str, str]:
        """What the user calls each parameter: its long option, or the name of its place."""
        places = {action.dest: str(action.metavar) for action in self._actions if not action.option_strings}
        return places | {
            action.dest: name
            for action in self._actions
            for name in action.option_strings
            if name.startswith("--") and not name.startswith("--no-")
        }


def _find_home(parsed: argparse.Namespace) -> None:
    """Put the user's own folder in place of ``~`` in paths, which shells do only at the beginning of a word."""
    for name, value in vars(parsed).items():
        if isinstance(value, Path):
            setattr(parsed, name, type(value)(os.path.expanduser(value)))
        elif name in _PATHS and value:
            paths = [os.path.expanduser(path) for path in ([value] if isinstance(value, str) else value)]
            setattr(parsed, name, paths[0] if isinstance(value, str) else paths)
