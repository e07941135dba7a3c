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
    "voxel_size_um": "voxel_size",
}

# A parameter, perhaps with an equal sign; not a part of a path, of a longer name or of a text in quotes.
_PARAMETER = re.compile(r"""(?<![\w./\\'"-])([a-z]\w*)(=(?:True\b)?|(?![\w./\\=]|['"]))""")


def one_line(error: BaseException) -> str:
    """The message of an error, without line breaks."""
    text = str(error) or type(error).__name__
    return " ".join(text.split())


def in_options(text: str, options: Mapping[str, str], names: Mapping[str, str]) -> str:
    """Name options instead of parameters.

    Parameters
    ----------
    text : str
        Message that names parameters, as in ``max_memory='lots'`` or ``resume=True``. A word alone is taken for a
        parameter only if it has an underscore, as ``level`` and ``time`` may mean what they say.
    options : mapping of str to str
        Option of each argument of the subcommand, such as ``--max-memory`` of ``max_memory``.
    names : mapping of str to str
        Argument of a parameter, where the subcommand calls it otherwise.

    Examples
    --------
    >>> in_options("max_memory='lots': a size is needed", {"max_memory": "--max-memory"}, {})
    "--max-memory 'lots': a size is needed"
    """

    def named(match: re.Match[str]) -> str:
        name, equals = match.groups()
        argument = names.get(name, name)
        option = options.get(argument) or options.get(_OTHER_NAMES.get(argument, ""))
        if option is None or not (equals or "_" in name):
            return match[0]
        has_value = equals == "=" and re.match(r"[^\s,;:)]", text[match.end() :])
        return f"{option} " if has_value else option

    return _PARAMETER.sub(named, text)
