"""Describes values for `fingerprint`: those of the user's own once each, under their names."""

from __future__ import annotations

import math
import types
from collections import deque
from collections.abc import Callable
from typing import Any, TypeAlias

from tilecore.array_types import Json

__all__ = ["UNKNOWN", "Describe", "Describer", "unknown"]

#: Describes a value of one kind; its parts by the describer.
Describe: TypeAlias = Callable[["Describer", Any], Json]

#: The key of what stands for a value of which nobody can tell whether it is the same in another run.
UNKNOWN = "cannot be known"

# They are described once, under their names, or by their names alone.
_NAMED = (types.FunctionType, type, types.ModuleType)


def unknown(value: object) -> dict[str, str]:
    """Stand for a value of which nobody can tell whether it is the same in another run."""
    return {UNKNOWN: f"an object of type {type(value).__module__}.{type(value).__qualname__}"}


class Describer:
    """Turns values into JSON values, which are equal where the values decide the same.

    Parameters
    ----------
    kind_of : callable
        Gives what describes a value, by its kind.

    Attributes
    ----------
    parts : dict
        Functions, classes and modules of the user's own, by name; elsewhere only their names
        stand. Complete after `finish`.
    """

    def __init__(self, kind_of: Callable[[Any], Describe]) -> None:
        self._kind_of = kind_of
        self.parts: dict[str, Any] = {}
        self._names: dict[int, str] = {}
        self._numbers: dict[int, int] = {}
        self._alive: list[Any] = []  # while they are, no other object has their id
        self._waiting: deque[tuple[str, Any, Callable[[], Any]]] = deque()

    def __call__(self, value: Any) -> Json:
        """Describe a value by its content; one that was met before by its number."""
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
        except Exception:  # what its own code raises when it is looked at, or too deep a nesting
            return unknown(value)

    def named(self, kind: str, name: str, value: object, describe: Callable[[], Any]) -> dict[str, str]:
        """Describe something of the user's own under a name, the first time it is met; when all else is done."""
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
        """Describe what waits for it, and what that reaches; return the parts."""
        while self._waiting:
            name, value, describe = self._waiting.popleft()
            try:
                self.parts[name] = describe()
            except Exception:  # as above
                self.parts[name] = unknown(value)
        return self.parts
