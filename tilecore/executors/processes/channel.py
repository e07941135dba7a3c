"""Messages between the parent and one worker; each arrives as a whole or not at all."""

from __future__ import annotations

import pickle
import socket
import sys
from multiprocessing import connection, reduction
from typing import Any

from tilecore.memory.descriptors import Duplicate

__all__ = ["MESSAGE_BYTES", "Channel", "PipeChannel", "SocketChannel", "open_channel"]

#: Largest size of one message, with a margin [byte]; larger data goes through shared memory.
MESSAGE_BYTES = 2**15

_LARGEST_PACKET = 2**18
_HAS_PACKETS = sys.platform.startswith("linux")


class SocketChannel:
    """One end of a packet socket (Linux).

    The kernel keeps packets whole: a worker that is killed while it sends has sent all or nothing,
    and a reader never waits for the rest of a message.
    """

    def __init__(self, end: socket.socket) -> None:
        self._socket = end

    def fileno(self) -> int:
        """Descriptor of the socket, to wait on."""
        return self._socket.fileno()

    def send(self, message: object) -> None:
        """Send a message; raises BrokenPipeError if the other end is closed."""
        self._socket.send(pickle.dumps(message, protocol=5))

    def receive(self) -> Any:
        """Wait for a message; raises EOFError if the other end is closed."""
        return self._received()

    def receive_now(self) -> Any:
        """Return a message that has arrived; raises BlockingIOError if there is none."""
        return self._received(socket.MSG_DONTWAIT)

    def close(self) -> None:
        """Close this end."""
        self._socket.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen_socket, (reduction.DupFd(self.fileno()),)

    def _received(self, flags: int = 0) -> Any:
        try:
            packet = self._socket.recv(_LARGEST_PACKET, flags)
        except ConnectionResetError:  # raised once; what the dead end has sent can still be read
            packet = self._socket.recv(_LARGEST_PACKET, flags)
        if not packet:
            raise EOFError
        return pickle.loads(packet)


class PipeChannel:
    """One end of a multiprocessing pipe (any system)."""

    def __init__(self, end: connection.Connection) -> None:
        self._pipe = end

    def fileno(self) -> int:
        """Descriptor of the pipe, to wait on."""
        return self._pipe.fileno()

    def send(self, message: object) -> None:
        """Send a message; raises BrokenPipeError if the other end is closed."""
        self._pipe.send_bytes(pickle.dumps(message, protocol=5))

    def receive(self) -> Any:
        """Wait for a message; raises EOFError if the other end is closed."""
        try:
            packet = self._pipe.recv_bytes()
        except ConnectionResetError:  # as for SocketChannel: on some systems a pipe is a socket
            packet = self._pipe.recv_bytes()
        return pickle.loads(packet)

    def receive_now(self) -> Any:
        """Return a message that has arrived; raises BlockingIOError if there is none."""
        if not self._pipe.poll():
            raise BlockingIOError
        return self.receive()

    def close(self) -> None:
        """Close this end."""
        self._pipe.close()


Channel = SocketChannel | PipeChannel


def open_channel() -> tuple[Channel, Channel]:
    """Create a channel: the parent's end and the worker's end."""
    if _HAS_PACKETS:
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return SocketChannel(near), SocketChannel(far)
    return open_pipe_channel()


def open_pipe_channel() -> tuple[PipeChannel, PipeChannel]:
    """Create a channel of a kind that every system has."""
    near, far = connection.Pipe()
    return PipeChannel(near), PipeChannel(far)


def _reopen_socket(duplicate: Duplicate) -> SocketChannel:
    return SocketChannel(socket.socket(fileno=duplicate.detach()))
