"""Transport of results from a worker: small ones in the message, large ones in shared memory."""

from __future__ import annotations

import ctypes
import io
import pickle
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import cloudpickle
import numpy as np
import numpy.typing as npt

from tilecore.executors.processes.channel import MESSAGE_BYTES
from tilecore.memory.segments import Mapping, Segment

__all__ = ["Inbox", "Letter", "Outbox"]

_INLINE_BYTES = MESSAGE_BYTES // 4
_ALIGNMENT = 64
_SMALLEST_TRAY = 2**22
_LARGEST_TRAY = 2**28


class Letter(NamedTuple):
    """A packed value.

    Attributes
    ----------
    text : bytes
        The pickle, if it is small; otherwise empty.
    tray : int
        Number of the worker's tray that holds the rest; -1 if there is no rest.
    spans : tuple of (int, int)
        Byte ranges in the tray: the pickle, if it is not in `text`, then its buffers [byte].
    """

    text: bytes
    tray: int = -1
    spans: tuple[tuple[int, int], ...] = ()


@dataclass(slots=True)
class _Tray:
    """A shared segment that holds letters side by side; it is used again once they are read."""

    segment: Segment
    used: int = 0
    unread: int = 0


class Outbox:
    """Sender in the worker: packs values into letters, and keeps the trays.

    Attributes
    ----------
    fresh : dict of Segment
        New trays, by number, that the parent has not been told of yet.
    """

    def __init__(self) -> None:
        self.fresh: dict[int, Segment] = {}
        self._trays: dict[int, _Tray] = {}
        self._n_trays = 0

    def pack(self, value: object) -> Letter:
        """Pack a value; its large arrays are copied once, into a tray."""
        buffers: list[pickle.PickleBuffer] = []
        has_readonly = False

        def keep_inside(buffer: pickle.PickleBuffer) -> bool:
            nonlocal has_readonly
            has_readonly |= buffer.raw().readonly
            if buffer.raw().nbytes <= _INLINE_BYTES:
                return True
            buffers.append(buffer)
            return False

        try:
            text = pickle.dumps(value, protocol=5, buffer_callback=keep_inside)
        except (pickle.PicklingError, AttributeError, TypeError):  # for example lambdas, or classes of a script
            buffers.clear()
            text = cloudpickle.dumps(value, protocol=5, buffer_callback=keep_inside)
        if has_readonly:  # a part of a block: the receiver gets a copy, which it may change
            buffers.clear()
            stream = io.BytesIO()
            _Thawing(stream, protocol=5, buffer_callback=keep_inside).dump(value)
            text = stream.getvalue()
        return self.lay(text, buffers)

    def lay(self, text: bytes, buffers: Sequence[pickle.PickleBuffer] = ()) -> Letter:
        """Make a letter of a pickle and its buffers."""
        if not buffers and len(text) <= _INLINE_BYTES:
            return Letter(text)
        parts: list[Any] = [np.frombuffer(buffer.raw(), dtype=np.uint8) for buffer in buffers]
        if len(text) > _INLINE_BYTES:
            parts.insert(0, np.frombuffer(text, dtype=np.uint8))
            text = b""
        return Letter(text, *self._lay(parts))

    def release(self, trays: Iterable[int]) -> None:
        """Free one letter in each of `trays`: the parent no longer needs it."""
        for number in trays:
            self._trays[number].unread -= 1

    def _lay(self, parts: list[Any]) -> tuple[int, tuple[tuple[int, int], ...]]:
        number = self._tray_for(sum(_aligned(part.size) for part in parts))
        tray = self._trays[number]
        spans = []
        for part in parts:
            tray.segment.fill([part], tray.used)
            spans.append((tray.used, tray.used + part.size))
            tray.used += _aligned(part.size)
        tray.unread += 1
        return number, tuple(spans)

    def _tray_for(self, n_bytes: int) -> int:
        for number, tray in reversed(self._trays.items()):
            if tray.unread == 0:
                tray.used = 0
            if tray.used + n_bytes <= tray.segment.size:
                return number
        # Trays grow with the amount kept, so that the number of trays, and of open files, stays small.
        total = sum(tray.segment.size for tray in self._trays.values())
        segment = Segment(max(n_bytes, min(max(total, _SMALLEST_TRAY), _LARGEST_TRAY)), reserve=False)
        self._n_trays += 1
        self._trays[self._n_trays] = _Tray(segment)
        self.fresh[self._n_trays] = segment
        return self._n_trays


class _Thawing(cloudpickle.Pickler):  # type: ignore[misc]
    """A pickler that packs read-only arrays as if they were writable."""

    def reducer_override(self, item: object) -> Any:
        is_plain = type(item) in (np.ndarray, np.memmap)
        if is_plain and isinstance(item, np.ndarray) and not item.flags.writeable and not item.dtype.hasobject:
            return _writable(item).__reduce_ex__(5)
        return super().reducer_override(item)


def _writable(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the same voxels as an array that is marked writable; nobody may write into it."""
    if not (array.flags.c_contiguous or array.flags.f_contiguous) or array.size == 0:
        return np.array(array)
    voxels: Any = (ctypes.c_char * array.nbytes).from_address(array.ctypes.data)
    return np.ndarray(array.shape, array.dtype, voxels, strides=array.strides)


class Inbox:
    """Receiver in the parent, one for each worker: opens letters.

    Attributes
    ----------
    released : list of int
        Number of the tray of each letter that is no longer needed, until the worker is told.
    """

    def __init__(self) -> None:
        self.released: list[int] = []
        self._trays: dict[int, Mapping] = {}

    def add_trays(self, trays: dict[int, Segment]) -> None:
        """Map the trays that a worker has made."""
        for number, segment in trays.items():
            self._trays[number] = segment.map("write")

    def open(self, letter: Letter) -> Any:
        """Unpack a value; its large arrays stay in the tray until they are deleted."""
        if letter.tray < 0:
            return pickle.loads(letter.text)
        tray = self._trays[letter.tray]
        views = [np.frombuffer(tray, np.uint8, last - first, first) for first, last in letter.spans]
        text = letter.text or bytes(views.pop(0))
        if views:
            # The arrays are views of these bytes: the letter is free when the last of them is deleted.
            count = _Countdown(len(views), self.released, letter.tray)
            for view in views:
                weakref.finalize(view, count.tick).atexit = False
        else:
            self.released.append(letter.tray)
        return pickle.loads(text, buffers=views)


class _Countdown:
    def __init__(self, n_left: int, released: list[int], tray: int) -> None:
        self._n_left, self._released, self._tray = n_left, released, tray

    def tick(self) -> None:
        self._n_left -= 1
        if self._n_left == 0:
            self._released.append(self._tray)


def _aligned(n_bytes: int) -> int:
    return -(-n_bytes // _ALIGNMENT) * _ALIGNMENT
