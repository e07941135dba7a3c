"""Python objects that are packed once and opened in many processes of this machine.

Functions of any kind are packed by cloudpickle. Arrays that other processes can reach
(shared, memory-mapped) are sent as descriptors, also inside other objects. The bytes of
all other arrays lie in one shared segment that every process maps instead of copying.
"""

from __future__ import annotations

import importlib
import io
import pickle
import sys
import types
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

import cloudpickle
import numpy as np
import numpy.typing as npt

from tilecore.arrays.bases import MappedFile, bases, mapped_file, root_map, segment_mapping
from tilecore.arrays.shared import HoldsSharedArray, SharedArray
from tilecore.errors import ShippingError
from tilecore.memory.segments import Access, Mapping, Segment

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["Nowhere", "Parcel", "can_be_sent", "name_of", "offset_in_file", "pack_script_by_value"]

Item = TypeVar("Item")

# Names of the user's script as a module: in the process that runs it, and in children that multiprocessing started by
# spawn or from a fork server. No worker can import either of them.
_SCRIPTS = ("__main__", "__mp_main__")

# Alignment of buffers in a parcel, enough for any processor instruction [byte].
_ALIGNMENT = 64


class Parcel(Generic[Item]):
    """An object packed for other processes.

    Parameters
    ----------
    item : object
        Any object that cloudpickle can pack.

    Raises
    ------
    ShippingError
        If a part of it cannot be packed; the message names the part.

    Notes
    -----
    Process-safety: pickles as a descriptor. `open` gives each process its own copy, in
    which arrays are private: other processes do not see changes, except in arrays that
    were shared or memory-mapped before packing.
    """

    def __init__(self, item: Item) -> None:
        self._item: Item | None = item
        self._pack(item)

    def open(self) -> Item:
        """Unpack the object; in the process that packed it, and in its forked children, return the object itself."""
        if self._item is not None:
            return self._item
        content = memoryview(self._content.map("private"))
        buffers = [content[first:last] for first, last in self._spans]
        item: Item = _Unpickler(io.BytesIO(buffers[0]), buffers[1:], self._segments).load()
        return item

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self._content, self._segments, self._spans)

    def _pack(self, item: Item) -> None:
        stream = io.BytesIO()
        pickler = _Pickler(stream)
        try:
            pickler.dump(item)
        except Exception as error:
            raise ShippingError(f"{name_of(item)} cannot be sent to worker processes: {error}") from error
        parts = [np.frombuffer(stream.getbuffer(), dtype=np.uint8)]
        parts += [np.frombuffer(buffer.raw(), dtype=np.uint8) for buffer in pickler.buffers]
        self._segments = pickler.segments
        self._spans = []
        offset = 0
        for part in parts:
            self._spans.append((offset, offset + part.size))
            offset += -(-part.size // _ALIGNMENT) * _ALIGNMENT
        self._content = Segment(offset)
        for part, (first, _) in zip(parts, self._spans, strict=True):
            self._content.fill([part], first)


def can_be_sent(item: object) -> bool:
    """Whether an object can be packed for other processes; nothing is kept, and large arrays are not copied."""
    try:
        _Pickler(Nowhere()).dump(item)
    except Exception:  # any error of the object's own code says the same
        return False
    return True


class Nowhere(io.BytesIO):
    """A stream that forgets what is written, and counts it."""

    n_bytes = 0

    def write(self, content: ReadableBuffer, /) -> int:
        """Count what is written."""
        size = memoryview(content).nbytes
        self.n_bytes += size
        return size


def pack_script_by_value() -> None:
    """Let cloudpickle treat the user's script as it does "__main__", also where it has its other name."""
    if (script := sys.modules.get(_SCRIPTS[1])) is not None and script.__name__ == _SCRIPTS[1]:
        cloudpickle.register_pickle_by_value(script)


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """A cloudpickle pickler that packs arrays as descriptors, or as buffers beside the pickle."""

    def __init__(self, stream: io.BytesIO) -> None:
        self.buffers: list[pickle.PickleBuffer] = []
        self.segments: list[Segment] = []
        pack_script_by_value()
        super().__init__(stream, protocol=5, buffer_callback=self.buffers.append)

    def persistent_id(self, item: object) -> int | None:
        if not isinstance(item, Segment):
            return None
        if item not in self.segments:
            self.segments.append(item)
        return self.segments.index(item)

    def reducer_override(self, item: object) -> Any:
        if isinstance(item, np.ndarray):
            reduced = _reduce_reachable(item)
        elif isinstance(item, types.FunctionType):
            reduced = _reduce_with_globals(item)
        else:
            reduced = None
        return super().reducer_override(item) if reduced is None else reduced


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: io.BytesIO, buffers: list[memoryview], segments: list[Segment]) -> None:
        super().__init__(stream, buffers=buffers)
        self._segments = segments

    def persistent_load(self, number: int) -> Segment:
        return self._segments[number]


def _reduce_reachable(array: npt.NDArray[Any]) -> tuple[Any, ...] | None:
    """Describe an array over a segment or a mapped file, for pickling; None for any other array."""
    layout = (array.shape, array.dtype, array.strides)
    if (mapping := segment_mapping(array)) is not None:
        offset = array.ctypes.data - np.frombuffer(mapping, dtype=np.uint8).ctypes.data
        return _view_segment, (mapping.segment, offset, *layout, "write" if array.flags.writeable else "read")
    if (file := mapped_file(array)) is not None:
        return _view_file, (file, offset_in_file(array), *layout, "r+" if array.flags.writeable else "r")
    return None


def offset_in_file(array: npt.NDArray[Any]) -> int:
    """Place of an array in the file that is mapped [byte]."""
    root = root_map(array)
    assert root is not None
    return int(root.offset + array.ctypes.data - root.ctypes.data)


def _view_segment(
    segment: Segment,
    offset: int,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    strides: tuple[int, ...],
    access: Access,
) -> npt.NDArray[Any]:
    return np.ndarray(shape, dtype, buffer=segment.map(access), offset=offset, strides=strides)


def _view_file(
    file: MappedFile,
    offset: int,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    strides: tuple[int, ...],
    mode: Literal["r", "r+"],
) -> npt.NDArray[Any]:
    found = MappedFile.at(file.path)
    if (found.device, found.inode) != (file.device, file.inode):
        raise ShippingError(f"{file.path} is another file than the one that was mapped")
    if found.size < file.size:
        raise ShippingError(f"{file.path} was cut off since it was mapped")
    whole: npt.NDArray[Any] = np.memmap(file.path, dtype=np.uint8, mode=mode, shape=(file.size,))
    return np.ndarray(shape, dtype, buffer=whole, offset=offset, strides=strides)


def _reduce_with_globals(function: types.FunctionType) -> tuple[Any, ...] | None:
    """Describe an importable function that uses shared arrays as global variables of its module.

    A process that imports the module would make new arrays; so these arrays are sent with the function.
    """
    module = sys.modules.get(function.__module__)
    if module is None or module.__name__ in _SCRIPTS or getattr(module, function.__name__, None) is not function:
        return None
    used = {name: function.__globals__.get(name) for name in function.__code__.co_names}
    shared = {name: value for name, value in used.items() if _is_shared(value)}
    return (_import_function, (module.__name__, function.__name__, shared)) if shared else None


def _is_shared(value: object) -> bool:
    if isinstance(value, np.ndarray):
        return isinstance(bases(value)[-1], Mapping)
    return isinstance(value, (SharedArray, HoldsSharedArray))


def _import_function(module: str, name: str, shared: dict[str, Any]) -> types.FunctionType:
    function: types.FunctionType = getattr(importlib.import_module(module), name)
    function.__globals__.update(shared)
    return function


def _reopen(content: Segment, segments: list[Segment], spans: list[tuple[int, int]]) -> Parcel[Any]:
    parcel: Parcel[Any] = Parcel.__new__(Parcel)
    parcel._item, parcel._content, parcel._segments, parcel._spans = None, content, segments, spans
    return parcel


def name_of(item: object) -> str:
    """Name of what is packed, for an error."""
    while hasattr(item, "function"):  # a job is named by its function, which the user knows
        item = item.function
    return str(getattr(item, "__qualname__", None) or type(item).__name__)
