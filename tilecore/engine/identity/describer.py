"""Description of values for `fingerprint`: functions, classes and modules of the user once each, by name."""

from __future__ import annotations

import math
import types
from collections import deque
from collections.abc import Callable
from typing import Any, TypeAlias

from tilecore.array_types import Json

__all__ = ["UNKNOWN", "Describe", "Describer", "unknown"]

#: Type of a function that describes a value of one kind; the describer describes its parts.
Describe: TypeAlias = Callable[["Describer", Any], Json]

#: Key of the JSON value that stands for a value which may differ in another run without notice.
UNKNOWN = "cannot be known"

# Kinds of values that are described once, under their names, or by their names alone.
_NAMED = (types.FunctionType, type, types.ModuleType)


def unknown(value: object) -> dict[str, str]:
    """Describe a value of which it is not known whether it is the same in another run."""
    return {UNKNOWN: f"an object of type {type(value).__module__}.{type(value).__qualname__}"}


class Describer:
    """Converts values to JSON values that are equal if the values have the same effect.

    Parameters
    ----------
    kind_of : callable
        Function that returns, for a value, the function that describes its kind.

    Attributes
    ----------
    parts : dict
        Descriptions of the user's own functions, classes and modules, by name; elsewhere only their names
        appear. Complete after `finish`.
    """

    def __init__(self, kind_of: Callable[[Any], Describe]) -> None:
        self._kind_of = kind_of
        self.parts: dict[str, Any] = {}
        self._names: dict[int, str] = {}
        self._numbers: dict[int, int] = {}
        self._alive: list[Any] = []  # while they exist, no other object has their id
        self._waiting: deque[tuple[str, Any, Callable[[], Any]]] = deque()

    def __call__(self, value: Any) -> Json:
        """Describe a value by its content; a value that was described before, by its number."""
        kind = type(value)
        plain: Json = value
        if value is None or kind in (bool, str):
            return plain
        if kind is int:
            return plain if value.bit_length() < 64 else {"int": hex(value)}
        if kind is float:
            return plain if math.isfinite(value) else {"float": repr(value)}
        if not issubclass(kind, _NAMED):
            if id(value) in self._numbers:
                return {"as": self._numbers[id(value)]}
            self._numbers[id(value)] = len(self._numbers)
            self._alive.append(value)
        try:
            return self._kind_of(value)(self, value)
        except Exception:  # an error in the value's own code, or nesting that is too deep
            return unknown(value)

    def named(self, kind: str, name: str, value: object, describe: Callable[[], Any]) -> dict[str, str]:
        """Describe a function, class or module of the user under a name, once; `finish` does the work."""
        known = self._names.get(id(value))
        if known is None:
            known, number = name, 2
            while known in self.parts:
                known, number = f"{name} ({number})", number + 1
            self._names[id(value)] = known
            self._alive.append(value)
            self.parts[known] = {}
            self._waiting.append((known, value, describe))
        return {kind: known}

    def finish(self) -> dict[str, Any]:
        """Describe everything that waits, and all that it reaches; return the parts."""
        while self._waiting:
            name, value, describe = self._waiting.popleft()
            try:
                self.parts[name] = describe()
            except Exception:  # as above
                self.parts[name] = unknown(value)
        return self.parts
