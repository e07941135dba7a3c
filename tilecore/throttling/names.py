"""Names of tasks: a key of dask is a text, or a tuple whose first item is a text and whose others count blocks."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tilecore.errors import ParameterTypeError
from tilecore.throttling.annotations import ANNOTATIONS

if TYPE_CHECKING:
    from dask.typing import Key

__all__ = ["custom_fused_keys_renamer", "get_keys_pat", "name_of", "rewrite_key", "split_key", "unique_keys"]

#: Hex digits at the end of a name that was cut.
_DIGITS = 4


class KeyTypeError(ParameterTypeError, ValueError):
    """A key is neither a text nor a tuple that begins with one."""


def name_of(key: Key) -> str | None:
    """Name in a key: the text itself, or the first item of a tuple; None in keys of other types."""
    first = key[0] if isinstance(key, tuple) and key else key
    return first if isinstance(first, str) else None


def rewrite_key(key: Key, rwdict: Mapping[str, str]) -> Key:
    """Rewrite the name in a key by regular expressions.

    Parameters
    ----------
    key : str or tuple
        Key of a task; of a tuple only the first item is rewritten.
    rwdict : mapping of str to str
        Replacements by pattern, as for `re.sub`; applied in the mapping's order, at all places.

    Returns
    -------
    str or tuple
        The new key.

    Raises
    ------
    ValueError
        If the key is neither a text nor a tuple that begins with one.

    Examples
    --------
    >>> rewrite_key(("rechunk-merge-1f", 0, 2), {"rechunk-merge": "merge_restricted"})
    ('merge_restricted-1f', 0, 2)
    """
    name = name_of(key)
    if name is None:
        raise KeyTypeError.of("key", key, "must be a text, or a tuple that begins with one")
    for pattern, new in rwdict.items():
        name = re.sub(pattern, new, name)
    return (name, *key[1:]) if isinstance(key, tuple) else name


def split_key(key: Key, rename_dict: Mapping[str, str] | None = None) -> str:
    """Keep of a key's name the parts that `ANNOTATIONS` has.

    Parameters
    ----------
    key : str or tuple
        Key of a task. Parts of its name are separated by dashes.
    rename_dict : mapping of str to str, optional
        New parts by old ones, for whole parts.

    Returns
    -------
    str
        The parts in `ANNOTATIONS` (also those with dashes), joined by dashes; if there is none, the first part.

    Raises
    ------
    ValueError
        If the key is neither a text nor a tuple that begins with one.

    Examples
    --------
    >>> split_key(("sum-smooth_corr-1f", 0)), split_key("sum-1f", {"sum": "total"})
    ('smooth_corr', 'total')
    """
    parts = _parts(key, rename_dict)
    return "-".join(_annotated(parts)) or parts[0]


def custom_fused_keys_renamer(
    keys: Sequence[Key],
    max_fused_key_length: int | None = 120,
    rename_dict: Mapping[str, str] | None = None,
) -> Key:
    """Make the key of a task into which others are fused.

    Parameters
    ----------
    keys : sequence of str or tuple
        Keys of a chain of tasks, in the order in which they run.
    max_fused_key_length : int, optional
        Most characters of the name. What is longer is cut, and ends in a dash and 4 hex digits of a hash, which is
        the same in each process. None or 0: no limit.
    rename_dict : mapping of str to str, optional
        New parts of names by old ones, also of the last key's name.

    Returns
    -------
    str or tuple
        The last key, its name preceded by those of the others as of `split_key`: sorted, each once.

    Raises
    ------
    ValueError
        If a key is neither a text nor a tuple that begins with one.

    Examples
    --------
    >>> custom_fused_keys_renamer([("load-1a", 0), ("smooth_corr-2b", 0), ("sum-3c", 0)])
    ('load-smooth_corr-sum-3c', 0)
    """
    *before, last = keys
    names = {split_key(key, rename_dict) for key in before} - {split_key(last, rename_dict)}
    name = "-".join([*sorted(names), *_parts(last, rename_dict)])
    if max_fused_key_length and len(name) > max_fused_key_length:
        digits = hashlib.sha256(name.encode()).hexdigest()[:_DIGITS]
        name = f"{name[: max(max_fused_key_length - _DIGITS - 1, 0)]}-{digits}"
    return (name, *last[1:]) if isinstance(last, tuple) else name


def get_keys_pat(pat: str, keys: Iterable[Key], return_all: bool = False) -> list[Key] | Key:
    """Choose keys by a pattern.

    Parameters
    ----------
    pat : str
        Regular expression, searched anywhere in the names.
    keys : iterable of str or tuple
        Keys of tasks.
    return_all : bool, optional
        Whether all that match are wanted, or the first one.

    Returns
    -------
    list or str or tuple
        The keys that match, in their order; or the first one.

    Raises
    ------
    IndexError
        If one key is wanted and none matches.

    Examples
    --------
    >>> get_keys_pat("load", ["sum-1", ("load-2", 0), "load-3"])
    ('load-2', 0)
    """
    found = [key for key in keys if (name := name_of(key)) is not None and re.search(pat, name)]
    return found if return_all else found[0]


def unique_keys(keys: Iterable[Key]) -> np.ndarray:
    """Names in keys, each once, whatever their blocks.

    Parameters
    ----------
    keys : iterable of str or tuple
        Keys of tasks; those of other types are dropped.

    Returns
    -------
    ndarray of str
        The sorted names; those of tuples begin with ``chunked-``.

    Examples
    --------
    >>> unique_keys([("load-1", 0), ("load-1", 1), "sum-2"]).tolist()
    ['chunked-load-1', 'sum-2']
    """
    named = ((key, name_of(key)) for key in keys)
    names = {f"chunked-{name}" if isinstance(key, tuple) else name for key, name in named if name is not None}
    return np.array(sorted(names), dtype=str)


def _parts(key: Key, rename_dict: Mapping[str, str] | None) -> list[str]:
    name = name_of(key)
    if name is None:
        raise KeyTypeError.of("key", key, "must be a text, or a tuple that begins with one")
    return [(rename_dict or {}).get(part, part) for part in name.split("-")]


def _annotated(parts: Sequence[str]) -> Iterator[str]:
    """Find the longest runs of parts that are names in ANNOTATIONS, which may have dashes of their own."""
    start = 0
    while start < len(parts):
        runs = (stop for stop in range(len(parts), start, -1) if "-".join(parts[start:stop]) in ANNOTATIONS)
        stop = next(runs, None)
        if stop is not None:
            yield "-".join(parts[start:stop])
        start = stop or start + 1
