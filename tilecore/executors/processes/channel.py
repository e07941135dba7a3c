"""Messages between the parent and one worker: each arrives whole or not at all."""

from __future__ import annotations

import pickle
import socket
import sys
from multiprocessing import connection, reduction
from typing import Any

from tilecore.memory.descriptors import Duplicate

__all__ = ["MESSAGE_BYTES", "Channel", "PipeChannel", "SocketChannel", "open_channel"]

#: What fits into one message with room to spare; anything larger goes through shared memory.
MESSAGE_BYTES = 2**15

_LARGEST_PACKET = 2**18
_HAS_PACKETS = sys.platform.startswith("linux")


class SocketChannel:
    """One end of a packet socket (Linux).

    The kernel keeps packets whole: a worker killed while it sends has sent all or nothing,
    and reading never waits for the rest of a message.
    """

    def __init__(self, end: socket.socket) -> None:
        self._socket = end

    def fileno(self) -> int:
        """The socket's descriptor, to wait on."""
        return self._socket.fileno()

    def send(self, message: object) -> None:
        """Send a message; raises BrokenPipeError where the other end is gone."""
        self._socket.send(pickle.dumps(message, protocol=5))

    def receive(self) -> Any:
        """Wait for a message; raises EOFError where the other end is gone."""
        return self._received()

    def receive_now(self) -> Any:
        """Take a message that is there already; raises BlockingIOError where there is none."""
        return self._received(socket.MSG_DONTWAIT)

    def close(self) -> None:
        """Close this end."""
        self._socket.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen_socket, (reduction.DupFd(self.fileno()),)

    def _received(self, flags: int = 0) -> Any:
        try:
            packet = self._socket.recv(_LARGEST_PACKET, flags)
        except ConnectionResetError:  # told once, when the other end died with mail unread; what it sent is still here
            packet = self._socket.recv(_LARGEST_PACKET, flags)
        if not packet:
            raise EOFError
        return pickle.loads(packet)


class PipeChannel:
    """One end of a multiprocessing pipe (any system)."""

    def __init__(self, end: connection.Connection) -> None:
        self._pipe = end

    def fileno(self) -> int:
        """The pipe's descriptor, to wait on."""
        return self._pipe.fileno()

    def send(self, message: object) -> None:
        """Send a message; raises BrokenPipeError where the other end is gone."""
        self._pipe.send_bytes(pickle.dumps(message, protocol=5))

    def receive(self) -> Any:
        """Wait for a message; raises EOFError where the other end is gone."""
        try:
            packet = self._pipe.recv_bytes()
        except ConnectionResetError:  # as of a socket, which it is
            packet = self._pipe.recv_bytes()
        return pickle.loads(packet)

    def receive_now(self) -> Any:
        """Take a message that is there already; raises BlockingIOError where there is none."""
        if not self._pipe.poll():
            raise BlockingIOError
        return self.receive()

    def close(self) -> None:
        """Close this end."""
        self._pipe.close()


Channel = SocketChannel | PipeChannel


def open_channel() -> tuple[Channel, Channel]:
    """Make a channel: the parent's end and the worker's."""
    if _HAS_PACKETS:
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return SocketChannel(near), SocketChannel(far)
    return open_pipe_channel()


def open_pipe_channel() -> tuple[PipeChannel, PipeChannel]:
    """Make a channel of the kind that every system has."""
    near, far = connection.Pipe()
    return PipeChannel(near), PipeChannel(far)


def _reopen_socket(duplicate: Duplicate) -> SocketChannel:
    return SocketChannel(socket.socket(fileno=duplicate.detach()))
