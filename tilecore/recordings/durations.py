"""Times and lengths of time, given as observations or in seconds."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TypeAlias

import numpy as np

from tilecore.errors import ParameterError
from tilecore.geometry.per_axis import as_integer

__all__ = ["TimeLike", "as_observations"]

#: A number of observations, or a time with its unit: ``"5 ms"``, a `datetime.timedelta` or a `numpy.timedelta64`.
TimeLike: TypeAlias = int | str | timedelta | np.timedelta64

_SECONDS = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}
_PATTERN = re.compile(rf"\s*(\d+(?:\.\d*)?|\.\d+)\s*({'|'.join(_SECONDS)})\s*")


def as_observations(time: TimeLike, rate: float | None, name: str) -> int:
    """Convert a time into a number of observations: the nearest one.

    Parameters
    ----------
    time : TimeLike
    rate : float or None
        Observations a second, if they are known [Hz].
    name : str
        The parameter's name, for the error message.

    Raises
    ------
    ParameterError, ParameterTypeError
        If it is neither, is negative, or is a time and the rate is not known.

    Examples
    --------
    >>> as_observations("5 ms", 30_000, "buffer"), as_observations(150, None, "buffer")
    (150, 150)
    """
    seconds = _seconds(time, name)
    if seconds is None:
        return as_integer(time, name, minimum=0)
    if rate is None:
        raise ParameterError.of(name, time, "the recording does not say how many observations a second has; give rate=")
    if not 0 <= seconds * rate < 2**63:
        raise ParameterError.of(name, time, "no recording has such a time")
    number = round(seconds * rate)
    if number == 0 and seconds > 0:
        raise ParameterError.of(name, time, f"is less than one observation, of which there are {rate:g} a second")
    return number


def _seconds(time: object, name: str) -> float | None:
    """Seconds of a time that has a unit; None of a number."""
    if isinstance(time, timedelta):
        return time.total_seconds()
    if isinstance(time, np.timedelta64):
        if np.datetime_data(time.dtype)[0] in ("generic", "Y", "M"):
            raise ParameterError.of(name, time, "a unit such as 'ms' is needed")
        return float(time / np.timedelta64(1, "s"))
    if isinstance(time, str):
        match = _PATTERN.fullmatch(time)
        if match is None:
            raise ParameterError.of(name, time, f"a number and a unit: {', '.join(_SECONDS)}; such as '5 ms'")
        return float(match[1]) * _SECONDS[match[2]]
    return None
