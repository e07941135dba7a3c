"""Describes values for `fingerprint`: those of the user's own once each, under their names."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

__all__ = ["Describe", "Describer", "unknown"]

#: Describes a value of one kind; its parts by the describer.
Describe: TypeAlias = Callable[["Describer", Any], Any]


def unknown(what: str) -> dict[str, str]:
    """Stand for something of which nobody can tell whether it is the same in another run."""
    return {"unknown": what}


class Describer:
    """Turns values into JSON values, which are equal where the values decide the same.

    Parameters
    ----------
    kind_of : callable
        Gives what describes a value, by its kind.

    Attributes
    ----------
    parts : dict
        Functions, classes and modules of the user's own, by name; elsewhere only their names stand.
    """

    def __init__(self, kind_of: Callable[[Any], Describe]) -> None:
        self._kind_of = kind_of
        self.parts: dict[str, Any] = {}
        self._names: dict[int, str] = {}
        self._alive: list[Any] = []  # while they are, no other object has their id
        self._inside: set[int] = set()

    def __call__(self, value: Any) -> Any:
        """Describe a value by its content."""
        if value is None or isinstance(value, (bool, str)) or type(value) is int:
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {"float": repr(value)}
        if id(value) in self._inside:
            return "itself"
        self._inside.add(id(value))
        try:
            return self._kind_of(value)(self, value)
        finally:
            self._inside.discard(id(value))

    def named(self, kind: str, name: str, value: Any, describe: Callable[[], Any]) -> dict[str, str]:
        """Describe something of the user's own under a name, the first time it is met."""
        known = self._names.get(id(value))
        if known is None:
            known, number = name, 2
            while known in self.parts:
                known, number = f"{name} ({number})", number + 1
            self._names[id(value)] = known
            self._alive.append(value)
            self.parts[known] = {}  # it may reach itself
            self.parts[known] = describe()
        return {kind: known}
