"""A run's shared value on its way to workers: its fields one by one, as only some of them change during a run."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Fields"]


@dataclass(frozen=True)
class Fields:
    """A dataclass in pieces.

    Attributes
    ----------
    kind : type
        The dataclass.
    packed : dict
        Pickles of small fields, by name.
    apart : tuple of str
        Names of large fields, which are sent on their own.
    """

    kind: type
    packed: dict[str, bytes]
    apart: tuple[str, ...]

    def assembled(self, apart: Sequence[object]) -> object:
        """The dataclass, with the large fields as they came."""
        here = {name: pickle.loads(content) for name, content in self.packed.items()}
        whole: object = self.kind(**here, **dict(zip(self.apart, apart, strict=True)))
        return whole
