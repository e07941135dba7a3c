"""File systems of fsspec, which talk to object stores: each process opens its own."""

from __future__ import annotations

import os
import threading
from typing import Any, Protocol
from weakref import WeakValueDictionary

from tilecore.errors import MissingDependencyError, ParameterError
from tilecore.objects.requests import bucket_of, store_patience
from tilecore.objects.urls import is_read_only, scheme_of

__all__ = ["FileSystem", "filesystem_of"]


class FileSystem(Protocol):
    """What is used of a file system of fsspec."""

    def cat_file(self, path: str, start: int | None = None, end: int | None = None) -> bytes:
        """Bytes of an object, or some of them."""

    def pipe_file(self, path: str, value: bytes) -> object:
        """Write an object."""

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

    def _strip_protocol(self, path: str) -> str:
        """What a URL is called in lists."""


_OF_S3 = ("s3", "s3a")

# Share of the patience after which a request without any answer is made again, and at least for how long it is waited
# for [s]: a store that is alive may take some seconds.
_SHARE_OF_ONE, _LEAST_SECONDS = 1 / 4, 5.0

# What brings the file system of a scheme, for messages.
_PACKAGES = {
    **dict.fromkeys(_OF_S3, 'the package s3fs: pip install "tilecore[objects]"'),
    **dict.fromkeys(("gs", "gcs"), "the package gcsfs: pip install gcsfs"),
    **dict.fromkeys(("http", "https"), "the package aiohttp: pip install aiohttp"),
    **dict.fromkeys(("az", "abfs"), "the package adlfs: pip install adlfs"),
}

# File systems in use, by process, scheme, account and variables of the environment: a forked child must not share the
# connections of its parent, and new credentials need new ones. They are held weakly, so that connections are closed
# with the last object that uses them.
_in_use: WeakValueDictionary[tuple[int, str, str, int], Any] = WeakValueDictionary()
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
    account = bucket_of(url).partition("@")[2]  # as in abfs://container@account.dfs.core.windows.net
    key = (os.getpid(), scheme, account, hash(frozenset(os.environ.items())))
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
        kind: Any = fsspec.get_filesystem_class(scheme)
        options = _options(scheme, conf) | kind._get_kwargs_from_urls(url)
        files = kind(skip_instance_cache=True, use_listings_cache=False, **options)
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
    seconds, given = max(_LEAST_SECONDS, store_patience() * _SHARE_OF_ONE), conf.get(scheme, {})
    if scheme in _OF_S3:
        once = {"retries": {"total_max_attempts": 1}, "read_timeout": seconds}
        return {"config_kwargs": once | given.get("config_kwargs", {})}
    if is_read_only(scheme + "://"):
        import aiohttp

        once = {"timeout": aiohttp.ClientTimeout(total=None, sock_connect=seconds, sock_read=seconds)}
        return {"client_kwargs": once | given.get("client_kwargs", {})}
    return {}
