"""Letters of the axes of an image, such as ``TCZYX``."""

from __future__ import annotations

from collections.abc import Sequence

from tilecore.errors import ParameterError

__all__ = ["AXES", "as_axes", "guessed_axes", "in_usual_order", "known_axes"]

#: Letters of the axes (time, channel, and the axes of space), in their usual order.
AXES = "TCZYX"

# Of four axes, the last one is taken for channels if it is at most this long, or shorter than the first.
_FEW = 4


def as_axes(axes: str, ndim: int, name: str = "axes") -> str:
    """Check a text of one letter per axis, and return it in upper case.

    Raises
    ------
    ParameterError
        If there are too few or too many letters, or one occurs twice.
    """
    letters = axes.upper() if isinstance(axes, str) else ""
    if len(letters) != ndim or len(set(letters)) != ndim or not (letters.isalpha() or ndim == 0):
        raise ParameterError.of(
            name, axes, f"{ndim} different letters are needed, such as {guessed_axes([_FEW + 1] * ndim)!r}"
        )
    return letters


def guessed_axes(shape: Sequence[int]) -> str:
    """Guess the letters of axes that nobody names: Z, Y, X; then channels, first or last; then time points.

    Examples
    --------
    >>> guessed_axes((20, 64, 80)), guessed_axes((2, 20, 64, 80)), guessed_axes((20, 64, 80, 2))
    ('ZYX', 'CZYX', 'ZYXC')
    """
    ndim = len(shape)
    if ndim < len("CZYX"):
        return "ZYX"[-ndim:] if ndim else ""
    first, *_, last = shape[-len("CZYX") :]
    return ("ABDEFGHIJKLMT" + ("ZYXC" if last <= _FEW or last < first else "CZYX"))[-ndim:]


def in_usual_order(axes: str) -> str:
    """Sort the letters as in ``TCZYX``; axes with a letter of another meaning stay as they are."""
    return "".join(sorted(axes, key=AXES.index)) if set(axes) <= set(AXES) else axes


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
