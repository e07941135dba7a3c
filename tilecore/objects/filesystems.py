"""File systems of fsspec, which talk to object stores: each process opens its own."""

from __future__ import annotations

import os
import threading
from typing import Any, Protocol
from weakref import WeakValueDictionary

from tilecore.errors import MissingDependencyError, ParameterError
from tilecore.objects.urls import scheme_of

__all__ = ["FileSystem", "filesystem_of"]


class FileSystem(Protocol):
    """What is used of a file system of fsspec."""

    def cat_file(self, path: str, start: int | None = None, end: int | None = None) -> bytes:
        """Bytes of an object, or some of them."""

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite") -> object:
        """Write an object; with the mode ``create``, only if it does not exist."""

    def find(self, path: str) -> list[str]:
        """Names of all objects whose names begin with a folder's."""

    def ls(self, path: str, detail: bool = True) -> list[dict[str, Any]]:
        """Facts of the objects and folders in a folder."""

    def info(self, path: str) -> dict[str, Any]:
        """Facts of an object."""

    def rm_file(self, path: str) -> object:
        """Remove an object."""

    def cp_file(self, path1: str, path2: str) -> object:
        """Copy an object within the store."""

    def invalidate_cache(self) -> None:
        """Forget what was listed."""


_OF_S3 = ("s3", "s3a")

# What brings the file system of a scheme, for messages.
_PACKAGES = {
    **dict.fromkeys(_OF_S3, 'the package s3fs: pip install "tilecore[objects]"'),
    **dict.fromkeys(("gs", "gcs"), "the package gcsfs: pip install gcsfs"),
    **dict.fromkeys(("http", "https"), "the package aiohttp: pip install aiohttp"),
    **dict.fromkeys(("az", "abfs"), "the package adlfs: pip install adlfs"),
}

# File systems in use, by process, scheme and variables of the environment: a forked child must not share the
# connections of its parent, and new credentials need new ones. They are held weakly, so that connections are closed
# with the last object that uses them.
_in_use: WeakValueDictionary[tuple[int, str, int], Any] = WeakValueDictionary()
_lock = threading.Lock()


def _renew_lock() -> None:
    """Give a forked child a new lock: another thread of its parent may have held the old one."""
    global _lock  # noqa: PLW0603
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def filesystem_of(url: str) -> FileSystem:
    """The file system for a URL in this process.

    Its options, such as credentials and the endpoint, are those of the environment and of fsspec's configuration.

    Raises
    ------
    MissingDependencyError
        If a package is needed; the message names it.
    ParameterError
        If no package has such a scheme.
    """
    scheme = scheme_of(url)
    key = (os.getpid(), scheme, hash(frozenset(os.environ.items())))
    with _lock:
        found: FileSystem | None = _in_use.get(key)
        if found is None:
            found = _in_use[key] = _opened(url, scheme)
        return found


def _opened(url: str, scheme: str) -> FileSystem:
    try:
        import fsspec
        from fsspec.config import conf, set_conf_env
    except ImportError as error:
        raise MissingDependencyError(
            f'{url} needs the package fsspec, and mostly one for its store: pip install "tilecore[objects]"'
        ) from error
    set_conf_env(conf)  # variables may have been set since fsspec was imported
    try:
        files: Any = fsspec.get_filesystem_class(scheme)(
            skip_instance_cache=True, use_listings_cache=False, **_options(scheme, conf)
        )
    except ImportError as error:
        raise MissingDependencyError(f"{url} needs {_PACKAGES.get(scheme, f'another package: {error}')}") from error
    except ValueError as error:
        raise ParameterError.of(
            "path", url, f"fsspec does not know {scheme}://, or not its options: {error}"
        ) from error
    if scheme in _OF_S3:
        files.retries = 1
    opened: FileSystem = files
    return opened


def _options(scheme: str, conf: dict[str, Any]) -> dict[str, Any]:
    """Options that leave it to tilecore to try again: otherwise the tries of all would multiply."""
    if scheme not in _OF_S3:
        return {}
    return {"config_kwargs": {"retries": {"total_max_attempts": 1}} | conf.get(scheme, {}).get("config_kwargs", {})}
