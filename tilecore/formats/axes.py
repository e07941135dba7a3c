"""Letters of the axes of an image, such as ``TCZYX``."""

from __future__ import annotations

from tilecore.errors import ParameterError

__all__ = ["AXES", "as_axes", "default_axes", "known_axes"]

#: Letters of the axes (time, channel, and the axes of space), in their usual order.
AXES = "TCZYX"


def as_axes(axes: str, ndim: int, name: str = "axes") -> str:
    """Check a text of one letter per axis, and return it in upper case.

    Raises
    ------
    ParameterError
        If there are too few or too many letters, or one occurs twice.
    """
    letters = axes.upper() if isinstance(axes, str) else ""
    if len(letters) != ndim or len(set(letters)) != ndim or not (letters.isalpha() or ndim == 0):
        raise ParameterError.of(name, axes, f"{ndim} different letters are needed, such as {default_axes(ndim)!r}")
    return letters


def default_axes(ndim: int) -> str:
    """Letters for the axes of an array without names: the last ones of ``TCZYX``."""
    return ("ABDEFGHIJKLM" + AXES)[-ndim:] if ndim else ""


def known_axes(axes: str) -> str:
    """Replace axis letters of other meanings: S by C, Q and I by the free letters of ``TCZYX``, from the last."""
    letters = list(axes.upper())
    if "S" in letters and "C" not in letters:
        letters[letters.index("S")] = "C"
    free = [letter for letter in reversed(AXES) if letter not in letters]
    for position in reversed(range(len(letters))):
        if letters[position] in "QI" and free:
            letters[position] = free.pop(0)
    return "".join(letters)
