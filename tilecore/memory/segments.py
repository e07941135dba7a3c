"""Segments: ranges of bytes that processes share and that cannot be left behind.

A segment is an open file without a name. Another process gets it by its file
descriptor, and the kernel frees the bytes when the last process closes them:
nothing has to be unlinked, even if processes die.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import secrets
import sys
import tempfile
import weakref
from collections.abc import Callable, Sequence
from multiprocessing import context, reduction
from pathlib import Path
from typing import Any, Literal

from tilecore.bytesize import format_bytes
from tilecore.errors import ParameterError, SharedMemoryError
from tilecore.machine import available_memory, free_space
from tilecore.memory.descriptors import Duplicate
from tilecore.process_identity import start_time_of

__all__ = ["Access", "Mapping", "Segment", "default_backend"]

Access = Literal["write", "read", "private"]

_LINUX = sys.platform.startswith("linux")
_SHM_FOLDER = "/dev/shm"
# Smallest size for which free memory is checked first [byte]: for smaller ones the check costs more than the memory.
_PREFLIGHT_BYTES = 2**24
_ACCESS = {"write": mmap.ACCESS_WRITE, "read": mmap.ACCESS_READ, "private": mmap.ACCESS_COPY}


class Mapping(mmap.mmap):
    """A memory map of a segment's bytes in this process.

    An array over a mapping keeps the mapping, and so the segment, alive. That is how an array
    can be sent as a small descriptor although it is given as an array.
    """

    segment: Segment
    access: Access


class Segment:
    """A range of shared bytes.

    Parameters
    ----------
    size : int
        Number of bytes [byte]; an empty segment holds one byte.
    backend : {"memfd", "shm", "mmap"}, optional
        ``"memfd"`` (Linux): memory without a file system. ``"shm"`` (Linux): a nameless
        file in ``/dev/shm``, which can get a path. ``"mmap"``: an unlinked temporary
        file, for all other systems. Default: the first of them that this system has.
    reserve : bool
        Whether to allocate the bytes now. Use False only where `fill` writes each byte
        once before a mapping shows it: then `fill` allocates them.

    Raises
    ------
    SharedMemoryError
        If there is not enough memory, or not enough room in ``/dev/shm`` or in the
        temporary folder: here or from `fill`, never as a SIGBUS later.

    Notes
    -----
    Process-safety: pickles to a descriptor, at any time, for any process of this user on
    this machine that unpickles it while this process lives. Processes must agree among
    themselves which of them writes which bytes.
    """

    def __init__(self, size: int, backend: str | None = None, *, reserve: bool = True) -> None:
        name = backend or default_backend()
        if name not in _CREATE:
            raise ParameterError.of("backend", backend, f"one of {', '.join(_CREATE)}")
        self.size = size
        self.backend = name
        self._path: str | None = None
        self._check_memory()
        self._descriptor = self._created(_CREATE[name], reserve=reserve)

    @classmethod
    def _attached(cls, descriptor: int, size: int, backend: str, path: str | None = None) -> Segment:
        segment = cls.__new__(cls)
        segment.size, segment.backend, segment._descriptor, segment._path = size, backend, descriptor, path
        return segment

    def map(self, access: Access = "write") -> Mapping:
        """Map the bytes into this process.

        Parameters
        ----------
        access : {"write", "read", "private"}
            ``"private"``: reads the shared bytes; changes stay in this mapping.
        """
        try:
            mapping = Mapping(self.fileno(), max(self.size, 1), access=_ACCESS[access])
        except OSError as error:
            raise self._no_room(error) from error
        mapping.segment, mapping.access = self, access
        return mapping

    def fill(self, parts: Sequence[Any], offset: int = 0) -> int:
        """Copy buffers into the segment, one after the other; return the offset after the last.

        This is twice as fast as copying into a new mapping: the kernel fills the pages as it
        makes them, without a page fault for each.
        """
        try:
            for part in parts:
                rest = memoryview(part).cast("B")
                while rest:
                    written = os.pwrite(self.fileno(), rest, offset)
                    rest, offset = rest[written:], offset + written
        except OSError as error:
            raise self._no_room(error) from error
        return offset

    def fileno(self) -> int:
        """Descriptor of the open file."""
        if self._descriptor < 0:
            raise ValueError("the segment is closed")
        return self._descriptor

    @property
    def path(self) -> str:
        """Path by which any process of this user can open the bytes while this process lives.

        With the ``"shm"`` backend, a name in ``/dev/shm`` is made when the path is first asked
        for, and removed with the segment.
        """
        if self._path is None:
            self._path = self._link() if self.backend == "shm" else self._descriptor_path()
        return self._path

    def close(self) -> None:
        """Close the descriptor; mappings made before stay valid until they are deleted."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            self._close(descriptor)

    # At the interpreter's end a segment may outlive the names of this module, so the function is kept here.
    _close = staticmethod(os.close)

    def __del__(self) -> None:
        if getattr(self, "_descriptor", -1) >= 0:
            self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        if self.backend == "mmap" and os.name != "posix":
            return _attach_path, (self.path, None, self.size, self.backend)
        if context.get_spawning_popen() is not None or not _LINUX:
            return _attach_descriptor, (reduction.DupFd(self.fileno()), self.size, self.backend)
        status = os.fstat(self.fileno())
        return _attach_path, (self._descriptor_path(), (status.st_dev, status.st_ino), self.size, self.backend)

    def _descriptor_path(self) -> str:
        if not _LINUX:
            raise SharedMemoryError("shared memory has no path on this system; pass the array itself instead")
        return f"/proc/{os.getpid()}/fd/{self.fileno()}"

    def _check_memory(self) -> None:
        if self.size < _PREFLIGHT_BYTES or self.backend == "mmap":
            return
        free = available_memory()
        if self.size > free:
            raise SharedMemoryError(
                f"{format_bytes(self.size)} of shared memory are needed and {format_bytes(free)} are free: "
                "use smaller arrays, or a memory-mapped file"
            )

    def _created(self, create: Callable[[Segment], int], *, reserve: bool) -> int:
        try:
            descriptor = create(self)
        except OSError as error:
            raise self._no_room(error) from error
        try:
            if reserve:
                _reserve(descriptor, max(self.size, 1))
            else:
                os.ftruncate(descriptor, max(self.size, 1))
        except BaseException as error:
            os.close(descriptor)
            if isinstance(error, OSError):
                raise self._no_room(error) from error
            raise
        return descriptor

    def _no_room(self, error: OSError) -> SharedMemoryError:
        folder = {"shm": _SHM_FOLDER, "mmap": tempfile.gettempdir()}.get(self.backend)
        text = f"{format_bytes(self.size)} of shared memory could not be allocated ({error.strerror})"
        if error.errno == errno.ENOSPC and folder:
            text += f": {folder} has {format_bytes(free_space(folder))} free; use backend='memfd' or enlarge it"
        elif error.errno == errno.EMFILE:
            text += ": too many files are open; raise the limit (ulimit -n) or close shared arrays"
        return SharedMemoryError(text)

    def _link(self) -> str:
        _remove_orphaned_names()
        name = f"tilecore-{os.getpid()}-{start_time_of(os.getpid())}-{secrets.token_hex(8)}.shm"
        folder = os.open(_SHM_FOLDER, os.O_RDONLY | os.O_DIRECTORY)
        try:
            # linkat(AT_SYMLINK_FOLLOW), the only way to name a file opened without a name.
            os.link(f"/proc/self/fd/{self.fileno()}", name, src_dir_fd=folder, dst_dir_fd=folder)
        finally:
            os.close(folder)
        path = f"{_SHM_FOLDER}/{name}"
        weakref.finalize(self, _unlink_own, path, os.getpid())
        return path


def default_backend() -> str:
    """Name of this system's best backend: memory without a file, if the system has it."""
    return "memfd" if hasattr(os, "memfd_create") else "mmap"


def _create_memfd(_: Segment) -> int:
    return os.memfd_create("tilecore", os.MFD_CLOEXEC)


def _create_shm(_: Segment) -> int:
    return os.open(_SHM_FOLDER, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)


def _create_mmap(segment: Segment) -> int:
    descriptor, path = tempfile.mkstemp(prefix="tilecore-", suffix=".shm")
    if os.name == "posix":
        os.unlink(path)
    else:  # Windows cannot remove a file in use, nor pass descriptors: the file keeps its name
        segment._path = path
        weakref.finalize(segment, _unlink_own, path, os.getpid())
    return descriptor


_CREATE: dict[str, Callable[[Segment], int]] = {"memfd": _create_memfd, "shm": _create_shm, "mmap": _create_mmap}


def _reserve(descriptor: int, size: int) -> None:
    """Allocate the bytes of a file now, so that no later write finds the disk full."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
        return
    zeros = bytes(min(size, 2**20))
    for offset in range(0, size, len(zeros)):
        os.lseek(descriptor, offset, os.SEEK_SET)
        os.write(descriptor, zeros[: size - offset])


def _attach_descriptor(duplicate: Duplicate, size: int, backend: str) -> Segment:
    return Segment._attached(duplicate.detach(), size, backend)


def _attach_path(path: str, identity: tuple[int, int] | None, size: int, backend: str) -> Segment:
    try:
        descriptor = os.open(path, os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
    except OSError as error:
        raise SharedMemoryError(
            f"shared memory {path} is closed, its process has ended, or access is forbidden ({error})"
        ) from error
    status = os.fstat(descriptor)
    if identity is not None and identity != (status.st_dev, status.st_ino):
        os.close(descriptor)
        raise SharedMemoryError(f"the process that shared {path} has closed it")
    return Segment._attached(descriptor, size, backend, path if identity is None else None)


def _unlink_own(path: str, owner: int) -> None:
    if os.getpid() == owner:  # a forked child inherits this finalizer and must not run it
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def _remove_orphaned_names() -> None:
    """Remove the names of killed processes, which could not remove them themselves."""
    for entry in Path(_SHM_FOLDER).glob("tilecore-*-*-*.shm"):
        _, owner, started, _ = entry.name.split("-", 3)
        if owner.isdigit() and start_time_of(int(owner)) != started:
            with contextlib.suppress(OSError):  # it belongs to another user, or is gone already
                entry.unlink()
