"""Messages in the words of the command line: the library names parameters, and a user of the command has options."""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["in_options", "one_line"]

# Parameters of the library whose options have another name.
_OTHER_NAMES = {
    "data_order": "order",
    "gains_uv": "gain_uv",
    "n_channels": "channels",
    "out": "output",
    "params": "param",
}

# A text in quotes, such as the name of a file: it stays as it is.
_QUOTED = r"""(?<!\w)(?P<quote>['"])(?:\\.|(?!(?P=quote)).)*(?P=quote)"""
# A parameter, perhaps with an equal sign; not a part of a path or of a longer name.
_NAME = r"""(?<![\w./\\'"-])(?P<name>[a-z]\w*)(?P<equals>=(?:True\b)?|(?![\w./\\=]|['"]))"""
_PARAMETER = re.compile(f"{_QUOTED}|{_NAME}")
# Parameters in front of what is said of them, as in "dtype, level: not given".
_SUBJECT = re.compile(r"[a-z]\w*(?:, [a-z]\w*)*(?=: )")


def one_line(error: BaseException) -> str:
    """The message of an error, without line breaks."""
    text = str(error) or type(error).__name__
    return " ".join(text.split())


def in_options(text: str, options: Mapping[str, str], names: Mapping[str, str]) -> str:
    """Name options instead of parameters.

    Parameters
    ----------
    text : str
        Message that names parameters, as in ``max_memory='lots'``, ``resume=True`` or ``dtype, level: not given``.
        Elsewhere a word alone is taken for a parameter only if it has an underscore, as ``level`` and ``time`` may mean
        what they say. A text in quotes stays as it is.
    options : mapping of str to str
        Option of each argument of the subcommand, such as ``--max-memory`` of ``max_memory``.
    names : mapping of str to str
        Argument of a parameter, where the subcommand calls it otherwise.

    Examples
    --------
    >>> in_options("max_memory='lots': a size is needed", {"max_memory": "--max-memory"}, {})
    "--max-memory 'lots': a size is needed"
    """

    def option_of(name: str) -> str | None:
        argument = names.get(name, name)
        return options.get(argument) or options.get(_OTHER_NAMES.get(argument, ""))

    def named(match: re.Match[str]) -> str:
        if match["quote"]:
            return match[0]
        name, equals = match["name"], match["equals"]
        option = option_of(name)
        if option is None or not (equals or "_" in name):
            return match[0]
        has_value = equals == "=" and re.match(r"[^\s,;:)]", text[match.end() :])
        return f"{option} " if has_value else option

    subject = _SUBJECT.match(text)
    told = [option_of(name) for name in subject[0].split(", ")] if subject else []
    first = ", ".join([option for option in told if option is not None])
    if subject is None or None in told:
        return _PARAMETER.sub(named, text)
    return first + in_options(text[subject.end() :], options, names)
