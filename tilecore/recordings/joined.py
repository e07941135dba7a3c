"""Recordings in several files, one after the other, as one array."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt

from tilecore.array_types import ReadableArray
from tilecore.arrays.access import Access, Reach, chunk_lengths
from tilecore.arrays.extents import Extent
from tilecore.arrays.kinds import access_of
from tilecore.errors import ParameterError

__all__ = ["JoinedArray", "close_array"]


@dataclass(frozen=True)
class JoinedArray:
    """Arrays of the same channels, one after the other along time.

    Parameters
    ----------
    parts : tuple of array_like, shape (observations, channels)

    Notes
    -----
    Process-safety: travels as its parts do.
    """

    parts: tuple[ReadableArray, ...]

    @classmethod
    def of(cls, parts: Sequence[ReadableArray], names: Sequence[str]) -> JoinedArray:
        """Check that the parts fit each other; names are for the message.

        Raises
        ------
        ParameterError
            If there is no part, or one has another number of channels or another kind of number than the first.
        """
        if not parts:
            raise ParameterError("recording: an empty list; give one file at least")
        first = parts[0]
        for part, name in zip(parts, names, strict=True):
            mine, other = (part.shape[1], part.dtype), (first.shape[1], first.dtype)
            if mine != other:
                raise ParameterError(
                    f"{name} has {mine[0]} channels of {mine[1]}, and {names[0]} has {other[0]} of {other[1]}: "
                    "files that follow each other have the same channels"
                )
        return cls(tuple(parts))

    @property
    def shape(self) -> tuple[int, int]:
        """Number of observations and of channels."""
        return sum(part.shape[0] for part in self.parts), self.parts[0].shape[1]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Kind of number."""
        return self.parts[0].dtype

    @property
    def chunks(self) -> tuple[int, ...] | None:
        """Shape of a chunk, if all parts have the same."""
        shapes = {chunk_lengths(part) for part in self.parts}
        return shapes.pop() if len(shapes) == 1 else None

    @property
    def access(self) -> _JoinedAccess:
        """How workers reach it."""
        return _JoinedAccess(self)

    def close(self) -> None:
        """Close the files of all parts."""
        for part in self.parts:
            close_array(part)

    def __getitem__(self, slices: tuple[slice, ...]) -> npt.NDArray[Any]:
        rows, columns = slices
        first, stop, _ = rows.indices(self.shape[0])
        ends = list(accumulate(part.shape[0] for part in self.parts))
        pieces = []
        for part, end in zip(self.parts, ends, strict=True):
            begin = end - part.shape[0]
            if first < end and stop > begin:
                pieces.append(np.asarray(part[max(first - begin, 0) : min(stop, end) - begin, columns]))
        if not pieces:
            return np.asarray(self.parts[0][0:0, columns])
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


def close_array(array: object) -> None:
    """Close the file of an array that has one."""
    close = getattr(array, "close", None)
    if close is not None:
        close()


class _JoinedAccess(Access):
    """Arrays one after the other, by the access to each."""

    array: JoinedArray

    @property
    def _accesses(self) -> list[Access]:
        return [access_of(part) for part in self.array.parts]

    @property
    def extents(self) -> tuple[Extent, ...]:
        """Where the parts lie."""
        return tuple([extent for access in self._accesses for extent in access.extents])

    @property
    def is_unknowable(self) -> bool:
        """Whether that is so of a part."""
        return any(access.is_unknowable for access in self._accesses)

    def content(self) -> dict[str, Any] | None:
        """What tells each part from others; None if one cannot."""
        contents = [access.content() for access in self._accesses]
        return None if None in contents else {"parts": contents}

    def stamps(self) -> dict[str, Any] | None:
        """Of the files of all parts."""
        stamps = [each for each in (access.stamps() for access in self._accesses) if each is not None]
        return {"path": ", ".join(str(each["path"]) for each in stamps), "parts": stamps} if stamps else None

    def readable(self, reach: Reach) -> Any | None:
        """What workers reach of each part; None if they cannot reach one."""
        parts: list[Any] = [access.readable(reach) for access in self._accesses]
        return None if any(part is None for part in parts) else JoinedArray(tuple(parts))
