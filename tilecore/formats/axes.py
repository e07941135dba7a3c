"""Letters of the axes of an image, such as ``TCZYX``."""

from __future__ import annotations

from tilecore.errors import ParameterError

__all__ = ["AXES", "as_axes", "default_axes", "known_axes"]

#: Time, channel, and the axes of space, in the order in which they usually come.
AXES = "TCZYX"


def as_axes(axes: str, ndim: int, name: str = "axes") -> str:
    """Accept a letter per axis, in upper or lower case.

    Raises
    ------
    ParameterError
        If there are too few or too many, or one comes twice.
    """
    letters = axes.upper() if isinstance(axes, str) else ""
    if len(letters) != ndim or len(set(letters)) != ndim or not (letters.isalpha() or ndim == 0):
        raise ParameterError.of(name, axes, f"{ndim} different letters are needed, such as {default_axes(ndim)!r}")
    return letters


def default_axes(ndim: int) -> str:
    """Axes of an array that has no names for them: the last ones of ``TCZYX``."""
    return ("ABDEFGHIJKLM" + AXES)[-ndim:] if ndim else ""


def known_axes(axes: str) -> str:
    """Take samples for channels, and axes without a known name for the ones of ``TCZYX`` that stand there."""
    letters = list(axes.upper())
    if "S" in letters and "C" not in letters:
        letters[letters.index("S")] = "C"
    free = [letter for letter in reversed(AXES) if letter not in letters]
    for position in reversed(range(len(letters))):
        if letters[position] in "QI" and free:
            letters[position] = free.pop(0)
    return "".join(letters)
