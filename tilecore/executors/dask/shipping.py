"""What a run sends to a cluster: its function, and its shared value, of which only what has changed is sent again."""

from __future__ import annotations

import dataclasses
import itertools
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from tilecore.arrays.access import MOST_SENT_BYTES
from tilecore.arrays.far_pickling import packed, packed_size
from tilecore.arrays.heaviest import heaviest
from tilecore.bytesize import format_bytes
from tilecore.errors import ParameterError
from tilecore.executors.base import Function
from tilecore.executors.dask.batches import Packed
from tilecore.executors.dask.fields import Fields

if TYPE_CHECKING:
    from distributed import Client, Future

    #: A run's shared value on the cluster, and those of its fields that were sent apart.
    Shipped: TypeAlias = tuple[Future[Packed[Any]], ...]

__all__ = ["Shipping"]

# Size from which on a field of the shared value is sent apart, and not again as long as it stays the same [byte].
_LEAST_APART_BYTES = 2**16


@dataclass
class _Piece:
    """A field of the shared value.

    Attributes
    ----------
    value : object
        Its value; it is kept, so that no other object can be taken for it.
    content : bytes
        Pickle of the value.
    future : Future or None
        What was sent, if it was sent apart.
    """

    value: object
    content: bytes
    future: Future[Packed[Any]] | None = None

    @property
    def is_large(self) -> bool:
        """Whether it is sent apart."""
        return len(self.content) >= _LEAST_APART_BYTES


class Shipping:
    """Sends the function and the shared value of a run, which together may not be large.

    Parameters
    ----------
    client : Client
        Client of the cluster.
    run : str
        Beginning of the keys.
    function : callable
        The function, as an executor gets it.
    """

    def __init__(self, client: Client, run: str, function: Function) -> None:
        self._client, self._run, self._function = client, run, function
        self._numbers = itertools.count()
        self._pieces: dict[str, _Piece] = {}
        self._content = b""

    def pack(self, known: object) -> None:
        """Pack the function, and the shared value at the start of the run.

        Raises
        ------
        ShippingError
            If something cannot be packed.
        ParameterError
            If both together are too large to be sent to each worker.
        """
        self._content = self._packed(self._function, known)
        self._pack_fields(known)

    def function(self) -> Future[Packed[Any]]:
        """Send the function that was packed."""
        return self._put(self._content)

    def known(self, known: object) -> Shipped:
        """Send the shared value; a large field that is the same object as before is there already."""
        self._pack_fields(known)
        if "" in self._pieces:
            return (self._put(self._pieces[""].content),)
        large = {name: piece for name, piece in self._pieces.items() if piece.is_large}
        for piece in large.values():
            piece.future = piece.future or self._put(piece.content)
        small = {name: piece.content for name, piece in self._pieces.items() if name not in large}
        content = pickle.dumps(Fields(type(known), small, tuple(large)), protocol=5)
        return (self._put(content), *[piece.future for piece in large.values() if piece.future is not None])

    def _pack_fields(self, known: object) -> None:
        """Pack what has changed since the last time."""
        fields = _fields(known)
        self._pieces = {name: piece for name, piece in self._pieces.items() if name in fields}
        for name, value in fields.items():
            if name not in self._pieces or self._pieces[name].value is not value:
                self._pieces[name] = _Piece(value, self._packed(value, known))
        if len(self._content) + sum(len(piece.content) for piece in self._pieces.values()) > MOST_SENT_BYTES:
            self._refuse(known)

    def _packed(self, item: object, known: object) -> bytes:
        content = packed(item, MOST_SENT_BYTES)
        return self._refuse(known) if content is None else content

    def _refuse(self, known: object) -> NoReturn:
        """Refuse to send what is too large, by the name of what is largest in it."""
        total = packed_size(self._function) + packed_size(known)
        name, item, n_bytes = max(map(heaviest, (self._function, known)), key=lambda found: found[2])
        raise ParameterError(
            f"{format_bytes(total)} would be sent to each worker, {format_bytes(n_bytes)} of them for {name} "
            f"({type(item).__name__}); at most {format_bytes(MOST_SENT_BYTES)} are sent. Give what is large as a file "
            'that all workers see: a source as tilecore.map_tiles(np.copy, source, out="volume.zarr"), another array '
            'by np.save("array.npy", array) and np.load("array.npy", mmap_mode="r")'
        )

    def _put(self, content: bytes) -> Future[Packed[Any]]:
        """Have a worker keep an object; another one makes it again from the scheduler's copy if that worker dies."""
        with _large_tasks_allowed():
            return self._client.submit(
                Packed, content, key=f"{self._run}-known-{next(self._numbers)}", pure=False, priority=10
            )


def _fields(known: object) -> dict[str, object]:
    """Fields of a shared value that is a dataclass, by name; another one as a whole, without a name."""
    if not dataclasses.is_dataclass(known) or isinstance(known, type):
        return {"": known}
    return {each.name: getattr(known, each.name) for each in dataclasses.fields(known)}


@contextmanager
def _large_tasks_allowed() -> Iterator[None]:
    """Let dask send megabytes with a task without a warning: they are sent once."""
    import dask

    with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1GiB"}):
        yield
