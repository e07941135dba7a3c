"""What a function raised in a worker, packed so that it can be raised in the parent, too."""

from __future__ import annotations

import _thread
import pickle
import re
import threading
from collections.abc import Callable, Mapping
from typing import Any

import cloudpickle

__all__ = ["pack_raised"]

# Longest time for the exception's own code to pack and unpack it [s].
_PATIENCE_SECONDS = 5.0
# Where the text of an object names its place in memory.
_ADDRESS = re.compile("0x[0-9a-fA-F]+")
# Methods by which a class has its exceptions packed, unpacked or told in its own way, and values without any.
_CODE = {"__init__", "__new__", "__reduce__", "__reduce_ex__", "__getstate__", "__setstate__", "__str__"}
_CODE |= {"__getattribute__", "__getattr__", "__setattr__"}
_PLAIN = (str, bytes, int, float, bool, type(None))


def pack_raised(error: BaseException) -> bytes | None:
    """Pack an exception, as faithfully as its class allows.

    Parameters
    ----------
    error : BaseException
        Its class may have code of its own for packing, which may fail, or never return.

    Returns
    -------
    bytes or None
        The pickle of the exception itself; if that cannot be unpacked to the same type and text, of one that is made
        without a call of ``__init__``, and without attributes that cannot be packed, with its arguments or its text
        alone; if its class cannot be packed, of an exception with the same name, text and built-in base. None if
        nothing of this is possible.
    """
    if isinstance(error, MemoryError):  # numpy's has code of its own, and nothing must be tried now
        return _attempted(_likeness, error)
    attempt = _attempted if _is_plain(error) else _in_time
    for pack in (_whole, _without_init, _by_text, _likeness):
        packed = attempt(pack, error)
        if packed is not None:
            return packed
    return None


def _is_plain(error: BaseException) -> bool:
    """Whether no code but Python's own packs and unpacks an exception: it needs no thread that can be left alone."""
    has_own_code = any(
        name in vars(kind) for kind in type(error).__mro__ if kind.__module__ != "builtins" for name in _CODE
    )
    return not has_own_code and all(type(each) in _PLAIN for each in (*error.args, *vars(error).values()))


def _attempted(pack: Callable[[BaseException], bytes], error: BaseException) -> bytes | None:
    """Pack an exception; None if that fails, or gives another exception."""
    try:
        content = pack(error)
        return content if _is_same(pickle.loads(content), error) else None
    except BaseException:  # whatever the exception's own code raises: the next way is tried
        return None


def _in_time(pack: Callable[[BaseException], bytes], error: BaseException) -> bytes | None:
    """Pack in a thread, which is left alone if it takes too long; None also then."""
    packed: list[bytes | None] = []
    ended = threading.Event()

    def work() -> None:
        packed.append(_attempted(pack, error))
        ended.set()

    try:
        # `threading.Thread.start` would wait for ever for a thread that has no memory to begin.
        _thread.start_new_thread(work, ())
    except RuntimeError:  # no more threads: the exception's text is sent all the same
        return None
    ended.wait(_PATIENCE_SECONDS)
    return packed[0] if packed else None


def _is_same(found: object, error: BaseException) -> bool:
    """Whether an unpacked exception has the name and the text of the original.

    Many classes have ``__init__`` put a text together, which is done again, with that text, when they are unpacked.
    An object without a text of its own is called by its address, which is another one once it is unpacked.
    """
    if type(found).__name__ != type(error).__name__:
        return False
    unpacked, text = _text_of(found), _text_of(error)
    if unpacked == text:
        return True
    is_alike = type(found) is type(error) and len(found.args) == len(error.args)
    return is_alike and _ADDRESS.sub("", unpacked or "") == _ADDRESS.sub("", text or "")


def _text_of(error: object) -> str | None:
    try:
        return str(error)
    except Exception:  # its own code fails: it has no text
        return None


def _whole(error: BaseException) -> bytes:
    return _dumps(error)


def _without_init(error: BaseException) -> bytes:
    return _of_class(error, error.args)


def _by_text(error: BaseException) -> bytes:
    return _of_class(error, (_text_of(error),))


def _of_class(error: BaseException, arguments: tuple[Any, ...]) -> bytes:
    state = {name: value for name, value in vars(error).items() if _is_packable(value)}
    return _dumps(_Recipe(_made_without_init, (type(error), arguments, state)))


def _likeness(error: BaseException) -> bytes:
    kind = type(error)
    # Groups need the exceptions that are in them.
    base = next(
        each for each in kind.__mro__ if each.__module__ == "builtins" and not issubclass(each, BaseExceptionGroup)
    )
    return _dumps(_Recipe(_alike, (kind.__module__, kind.__name__, base, _text_of(error) or "")))


class _Recipe:
    """What pickles as a call, and unpickles as its result."""

    def __init__(self, function: Callable[..., BaseException], arguments: tuple[Any, ...]) -> None:
        self._call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., BaseException], tuple[Any, ...]]:
        return self._call


def _made_without_init(
    kind: type[BaseException], arguments: tuple[Any, ...], state: Mapping[str, Any]
) -> BaseException:
    error = kind.__new__(kind, *arguments)
    error.args = arguments
    vars(error).update(state)
    return error


def _alike(module: str, name: str, base: type[BaseException], text: str) -> BaseException:
    """An exception with the name and the text of another, whose class cannot be sent."""

    def as_text(self: BaseException) -> str:
        return str(self.args[0])

    def reduced(_: BaseException) -> tuple[Callable[..., BaseException], tuple[Any, ...]]:
        return _alike, (module, name, base, text)

    kind: type[BaseException] = type(name, (base,), {"__module__": module, "__str__": as_text, "__reduce__": reduced})
    error = kind.__new__(kind, text)
    error.args = (text,)
    return error


def _is_packable(value: object) -> bool:
    try:
        pickle.loads(_dumps(value))
    except Exception:  # whatever the value's own code raises
        return False
    return True


def _dumps(value: object) -> bytes:
    try:
        return pickle.dumps(value, protocol=5)
    except Exception:  # such as classes of a script; where it can be, a class is sent by its name, and stays the same
        content: bytes = cloudpickle.dumps(value, protocol=5)
        return content
