"""Division of a row of bytes into ranges that are taken and given back."""

from __future__ import annotations

from bisect import bisect_left
from typing import Literal

__all__ = ["Ranges"]


class Ranges:
    """Bytes from 0 to a limit, of which ranges are taken and given back.

    Parameters
    ----------
    size : int
        Number of bytes.

    Attributes
    ----------
    n_taken : int
        Number of bytes that are taken now.
    highest : int
        Largest number of bytes that were taken at once.

    Notes
    -----
    Large ranges are best taken from the low end and small ones from the high end: so neither kind leaves gaps
    that the other cannot use.

    Examples
    --------
    >>> ranges = Ranges(10)
    >>> ranges.take(4), ranges.take(3, "high"), ranges.take(4)
    (0, 7, None)
    >>> ranges.give_back(0, 4)
    >>> ranges.take(5)
    0
    """

    def __init__(self, size: int) -> None:
        self.n_taken = self.highest = 0
        self._starts, self._stops = ([0], [size]) if size > 0 else ([], [])

    def take(self, size: int, end: Literal["low", "high"] = "low") -> int | None:
        """Take a range of `size` bytes, the first that is free from one end; return its start, None if none is."""
        places = range(len(self._starts))
        for place in places if end == "low" else reversed(places):
            start, stop = self._starts[place], self._stops[place]
            if stop - start >= size:
                break
        else:
            return None
        if stop - start == size:
            del self._starts[place], self._stops[place]
        elif end == "low":
            self._starts[place] += size
        else:
            start = stop - size
            self._stops[place] = start
        self.n_taken += size
        self.highest = max(self.highest, self.n_taken)
        return start

    def give_back(self, start: int, size: int) -> None:
        """Give back a range that was taken, or a part of one."""
        stop = start + size
        place = bisect_left(self._starts, start)
        self.n_taken -= size
        if place < len(self._starts) and self._starts[place] == stop:
            stop = self._stops[place]
            del self._starts[place], self._stops[place]
        if place and self._stops[place - 1] == start:
            self._stops[place - 1] = stop
        else:
            self._starts.insert(place, start)
            self._stops.insert(place, stop)
