"""What the numbers of a recording mean, and how files of several kinds keep it beside the numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

__all__ = ["NOT_TOLD", "Recorded"]


@dataclass(frozen=True)
class Recorded:
    """What the numbers of a recording mean, as far as it is known.

    Attributes
    ----------
    rate : float or None
        Observations a second [Hz].
    gains_uv : tuple of (float or None)
        Microvolts that each channel's 1 stands for [uV]; None of a channel that is no voltage. Empty if unknown.
    is_in_uv : bool
        Whether the numbers are microvolts.
    """

    rate: float | None = None
    gains_uv: tuple[float | None, ...] = ()
    is_in_uv: bool = False

    @classmethod
    def of(cls, attributes: Mapping[str, Any], n_channels: int | None = None) -> Self:
        """Read the attributes of a file, of which other programs may have written others by the same names.

        Parameters
        ----------
        attributes : mapping
            What is no such value is left out.
        n_channels : int, optional
            Number of channels; gains of another number are left out.
        """
        gains = attributes.get("gains_uv")
        listed = list(gains) if isinstance(gains, Iterable) and not isinstance(gains, (str, Mapping)) else []
        numbers = tuple(map(_as_positive, listed))
        fits = len(numbers) == n_channels and any(number is not None for number in numbers)
        unit = attributes.get("unit")
        is_in_uv = isinstance(unit, str) and unit == "uV"
        return cls(_as_positive(attributes.get("rate_hz")), numbers if fits else (), is_in_uv)

    @property
    def attributes(self) -> dict[str, Any]:
        """The same as plain values, as they stand in a file; what is unknown is left out."""
        found: dict[str, Any] = {} if self.rate is None else {"rate_hz": self.rate}
        found |= {"gains_uv": list(self.gains_uv)} if self.gains_uv else {}
        return found | ({"unit": "uV"} if self.is_in_uv else {})

    @property
    def of_time(self) -> Self:
        """What stays true of numbers that are not those of the channels."""
        return type(self)(self.rate)


#: Of images, and of recordings whose files tell nothing.
NOT_TOLD = Recorded()


def _as_positive(value: object) -> float | None:
    """A number above zero; None of anything else."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return number if 0 < number < math.inf else None
