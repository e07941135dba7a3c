"""Sizes in bytes as text that people read and write, such as ``"4GB"`` or ``"512 MiB"``."""

from __future__ import annotations

import operator
import re

from tilecore.errors import ParameterError, ParameterTypeError

__all__ = ["format_bytes", "parse_bytes"]

_DECIMAL = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15}
_BINARY = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40, "P": 2**50}
_PATTERN = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([KMGTP]?)(I?)(B?)\s*", re.IGNORECASE)


def parse_bytes(size: int | str, name: str = "size", *, binary: bool = False) -> int:
    """Convert text such as ``"2GB"`` or ``"512MiB"``, or a number, into a number of bytes.

    Parameters
    ----------
    size : int or str
        A number of bytes, or a number with a unit: ``B``, decimal ``KB MB GB TB PB``
        (or ``K M G T P``), binary ``KiB MiB GiB TiB PiB``; upper or lower case.
    name : str
        The parameter's name, for the error message.
    binary : bool
        Whether ``KB MB GB`` (and ``K M G``) are powers of 1024, too.

    Returns
    -------
    int
        Size [byte].

    Raises
    ------
    ParameterError
        If the text is not a size, or the size is negative.
    ParameterTypeError
        If `size` is neither an integer nor text.

    Examples
    --------
    >>> parse_bytes("2GB"), parse_bytes("1.5 KiB"), parse_bytes(100)
    (2000000000, 1536, 100)
    """
    if isinstance(size, str):
        match = _PATTERN.fullmatch(size)
        if match is None or (match[3] and not match[2]):
            raise ParameterError.of(name, size, "a size such as '2GB', '512MiB' or 1000000")
        units = _BINARY if match[3] or (binary and match[2]) else _DECIMAL
        return int(float(match[1]) * units[match[2].upper()])
    try:
        number = operator.index(size)
    except TypeError:
        raise ParameterTypeError.of(name, size, "a whole number of bytes or text like '2GB'") from None
    if number < 0:
        raise ParameterError.of(name, size, "a size cannot be negative")
    return number


def format_bytes(n_bytes: float) -> str:
    """Format a size with the largest binary unit in which it is at least 1.

    Examples
    --------
    >>> format_bytes(1536), format_bytes(3 * 2**30), format_bytes(12)
    ('1.5 KiB', '3.0 GiB', '12 B')
    """
    size = float(n_bytes)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(size) < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} PiB"
