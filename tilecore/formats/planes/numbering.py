"""Numbers in the names of planes: which axes they count, and whether a plane is missing."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from itertools import pairwise, product
from typing import NamedTuple

from tilecore.errors import UnreadableFileError

__all__ = ["Numbering"]

# Words before a number, and the axes that it counts.
_WORDS = {"CH": "C", "CHANNEL": "C", "TIME": "T", "SLICE": "Z", "PLANE": "Z"} | {letter: letter for letter in "CTZ"}
# A number of more digits, or of more values, than channels have counts something else.
_DIGITS_OF_CHANNELS, _MOST_CHANNELS = 2, 16


class Numbering(NamedTuple):
    """What the numbers in the names of planes count.

    Attributes
    ----------
    axes : str
        One letter for each number that is not the same in all names.
    counts : tuple of int
        Length of each axis.
    guess : str
        How the names were understood, if they may mean something else; otherwise empty.
    """

    axes: str
    counts: tuple[int, ...]
    guess: str = ""

    @classmethod
    def of(cls, names: Sequence[str], path: str) -> Numbering:
        """Find the axes and their lengths from the numbers in the names.

        Raises
        ------
        UnreadableFileError
            If a number is missing, or a name differs from the others. Numbers may have steps, for example
            if only some planes were kept, or if they are micrometres.
        """
        texts, numbers = _alike(names, path)
        running = [field for field in range(len(numbers[0])) if len({each[field] for each in numbers}) > 1]
        letters = [_letter(texts[field]) for field in running]
        guess = ""
        if len(running) == 1:
            others = [_letter(texts[field]) for field in range(len(numbers[0])) if field not in running]
            letters[0], guess = _alone(
                letters[0], others, texts[running[0]], [_digits(each, running[0]) for each in names]
            )
        if len(set(letters)) < len(letters) or None in letters:
            raise UnreadableFileError(
                f"{path}: names such as {names[0]} have several numbers that could count planes; "
                "choose some with a pattern"
            )
        positions = [tuple(own[field] for field in running) for own in numbers]
        values = [sorted(set(each)) for each in zip(*positions, strict=True)]
        if (lost := _lost(values, set(positions))) is not None:
            parts = [
                f"{texts[field]}{_padded(at, names, field)}" for field, at in zip(running, lost, strict=True) if at >= 0
            ]
            raise UnreadableFileError(f"{path}: plane {''.join(parts)} is missing")
        counts = tuple([len(each) for each in values]) or (1,)
        if math.prod(counts) != len(names):
            raise UnreadableFileError(f"{path}: two planes have the same numbers")
        return cls("".join(filter(None, letters)) or "Z", counts, guess)


def _alone(letter: str | None, others: Sequence[str | None], text: str, digits: Sequence[str]) -> tuple[str, str]:
    """Axis that the only running number counts, and what is to be said if that is a guess.

    ``a_z003_ch0.tif``, ``a_z003_ch1.tif`` are channels: the plane has a number of its own. ``C01.tif``, ``C02.tif``
    may be channels. ``ch00000.tif``, ``ch00001.tif``, ... are planes of one channel: nobody pads the number of a
    channel to five digits, and a volume has more planes than channels.
    """
    if letter != "C" or "Z" in others:
        return letter or "Z", ""
    is_channel = max(map(len, digits)) <= _DIGITS_OF_CHANNELS and len(digits) <= _MOST_CHANNELS
    letter, what, other = ("C", "channels", "ZYX") if is_channel else ("Z", "planes (z)", "CYX")
    return letter, f'{len(digits)} files numbered after "{text}" are taken for {what}; if not, use axes="{other}"'


def _alike(names: Sequence[str], path: str) -> tuple[tuple[str, ...], list[tuple[int, ...]]]:
    """Texts that all names have in common, and the numbers between them."""
    texts, numbers = _parts(names[0])[0], []
    for name in names:
        parts, own = _parts(name)
        if parts != texts:
            raise UnreadableFileError(f"{path}: {name} is not named like {names[0]}; choose planes by a pattern with *")
        numbers.append(own)
    return texts, numbers


def _lost(values: Sequence[Sequence[int]], present: set[tuple[int, ...]]) -> tuple[int, ...] | None:
    """First position without a plane, with -1 on axes that do not matter; None if no plane is missing."""
    for axis, each in enumerate(values):
        if (number := _missing(each)) is not None:
            return tuple(number if other == axis else -1 for other in range(len(values)))
    return next((position for position in product(*values) if position not in present), None)


def _missing(numbers: Sequence[int]) -> int | None:
    """First number that is missing in a series of equal steps; None if the series is complete."""
    gaps = [after - before for before, after in pairwise(numbers)]
    step = math.gcd(*gaps)
    return next((before + step for before, gap in zip(numbers, gaps, strict=False) if gap != step), None)


def _padded(number: int, names: Sequence[str], field: int) -> str:
    """A number as text with leading zeros, as in the names."""
    return str(number).zfill(min(len(_digits(name, field)) for name in names))


def _digits(name: str, field: int) -> str:
    """A number in a name, as it is written."""
    return str(re.findall(r"\d+", name)[field])


def _parts(name: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Texts and numbers in a name."""
    pieces = re.split(r"(\d+)", os.path.splitext(name)[0])
    return tuple(pieces[::2]), tuple(int(piece) for piece in pieces[1::2])


def _letter(text: str) -> str | None:
    """Letter of the axis that a number counts, from the letter or word before the number."""
    return _WORDS.get((re.findall(r"[A-Za-z]+", text) or [""])[-1].upper())
