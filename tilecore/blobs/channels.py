"""Channels of a source, at each time point, each as a volume of its own with the axes z, y, x."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tilecore.array_types import OneSource, ReadableArray
from tilecore.engine.dimensions import HaloByName, TileShapeByName, values_by_name
from tilecore.engine.inputs import Inputs
from tilecore.errors import ParameterError
from tilecore.formats.arranged import arranged
from tilecore.formats.axes import as_axes, guessed_axes, known_axes
from tilecore.formats.labels import told_axes
from tilecore.geometry.per_axis import HaloLike, TileShapeLike, as_integer

__all__ = ["Channels", "channels_of"]


@dataclass(frozen=True)
class Channels:
    """The channels of a source that are searched, and the time points.

    Attributes
    ----------
    by_time : dict of dict
        Volumes of two or three axes, in the order z, y, x, by the number of the time point, then by that of the
        channel, as in the file; 0 if it has none.
    has_times : bool
        Whether there are several time points, of which one may have been chosen.
    axes : str
        Letters of the axes of space, in the source's own order.
    guess : str, optional
        What the axes of the source were taken for, if nobody says which of them are channels or time points.
    """

    by_time: dict[int, dict[int, Any]]
    has_times: bool
    axes: str
    guess: str | None

    @property
    def first_time(self) -> int:
        """Number of the first time point."""
        return min(self.by_time)

    @property
    def volumes(self) -> dict[int, Any]:
        """Volumes of the first time point, by the channel's number."""
        return self.by_time[self.first_time]

    def places(self) -> Iterator[tuple[dict[str, int], Any]]:
        """Iterate over all volumes, each with the columns ``t`` (if there are times) and ``channel`` of its blobs."""
        for time, volumes in self.by_time.items():
            for channel, volume in volumes.items():
                yield ({"t": time} if self.has_times else {}) | {"channel": channel}, volume

    def lengths(self, tile_shape: TileShapeByName) -> TileShapeLike:
        """The shape of a tile of a volume; names of axes, in small or capital letters, become their places."""
        if not isinstance(tile_shape, Mapping):
            return tile_shape
        whole = next(iter(self.volumes.values())).shape
        given = self._by_name(tile_shape, "tile_shape", None)
        return [max(int(length), 1) if each == -1 else each for each, length in zip(given, whole, strict=True)]

    def margin(self, halo: HaloByName | None) -> HaloLike | None:
        """The halo of a volume; names of axes, in small or capital letters, become their places."""
        if not isinstance(halo, Mapping):
            return halo
        margin: list[tuple[int, int]] = self._by_name(halo, "halo", 0)
        return margin

    def _by_name(self, values: Mapping[str, object], parameter: str, rest: object) -> list[Any]:
        """Values for the axes of a volume, in the order z, y, x."""
        named = {str(name).lower(): value for name, value in values.items()}
        order = sorted(self.axes, key="ZYX".find) if set(self.axes) <= set("ZYX") else self.axes
        given: Any = values_by_name(named, [letter.lower() for letter in order], parameter, rest)
        return list(given)


def channels_of(
    source: OneSource, channel: int | str | None, time: int | None = None, axes: str | None = None
) -> Channels:
    """Return the volumes of a source's channels, of all or of one, at all time points or at one.

    Parameters
    ----------
    source : array_like
        The source. Its attribute ``axes``, such as ``"TZCYX"``, or its labels tell which axes are channels and
        time points. Without them, or if it is a guess, the axes are guessed from the shape; if
        `channel` is given, the last of two or three axes holds channels.
    channel : int, str or None
        Number or name of the channel; None: all channels.
    time : int or None
        Number of the time point; None: all time points.
    axes : str, optional
        Letters of the axes, if the source does not tell them or is wrong.

    Raises
    ------
    ParameterError
        If the channel or time point does not exist, or the remaining axes are not two or three.
    """
    inputs = Inputs.of(source)
    (array,), info = inputs.arrays, inputs.info
    letters, is_guess = _letters(source, tuple(array.shape), channel, axes)
    spatial = "".join([letter for letter in letters if letter not in "TC"])
    if len(spatial) not in (2, 3):
        raise ParameterError.of("source", tuple(array.shape), "must have two or three axes, and channels or not")
    guess = letters if is_guess and spatial != letters else None
    lengths = dict(zip(letters, map(int, array.shape), strict=True))
    channels = _channels(lengths.get("C"), channel, source, [] if info is None else list(info.channel_names))
    times, by_time = _numbers("time", lengths.get("T"), time, source), {}
    for each in times:
        places = [{"T": each, "C": number} for number in channels]
        by_time[each] = {place["C"]: _in_order(array, letters, place) for place in places}
    has_times = lengths.get("T", 1) > 1 or isinstance(getattr(source, "time", None), int)
    return Channels(by_time, has_times, spatial, guess)


def _in_order(array: ReadableArray, axes: str, place: dict[str, int]) -> ReadableArray:
    """Arrange an array's axes as z, y, x; other axes of space, of an unknown name, stay as they are."""
    chosen = {axis: place[letter] for axis, letter in enumerate(axes) if letter in place}
    kept = [axis for axis in range(len(axes)) if axis not in chosen]
    if {axes[axis] for axis in kept} <= set("ZYX"):
        kept.sort(key=lambda axis: "ZYX".index(axes[axis]))
    return arranged(array, kept, chosen)


def _letters(source: object, shape: tuple[int, ...], channel: int | str | None, given: str | None) -> tuple[str, bool]:
    """Letters of the axes, and whether they are a guess."""
    if given is not None:
        return known_axes(as_axes(given, len(shape))), False
    if (told := told_axes(source)) is not None:
        return told, False
    if channel is not None and len(shape) < len("ZYXC"):
        return "ZYXC"[-len(shape) :], True
    guess = getattr(source, "axes", None)
    return guess if isinstance(guess, str) else guessed_axes(shape), True


def _channels(n_channels: int | None, channel: int | str | None, source: object, names: list[str]) -> Sequence[int]:
    """Numbers of the channels, of which one may be given by its name."""
    if isinstance(channel, str) and n_channels is not None:
        if channel not in names:
            raise ParameterError.of(
                "channel", channel, f"the source has {names}" if names else "the source has no names"
            )
        return [names.index(channel)]
    return _numbers("channel", n_channels, channel, source)


def _numbers(name: str, length: int | None, chosen: int | str | None, source: object) -> Sequence[int]:
    """Numbers along an axis, or the chosen one; without that axis the one with which the file was opened, or 0."""
    if length is None:
        only = getattr(source, name, None) or 0
        if chosen not in (None, only):
            raise ParameterError.of(name, chosen, f"the source has no {name}s but {only}")
        return [only]
    if chosen is None:
        return range(length)
    number = as_integer(chosen, name)
    if not 0 <= number < length:
        raise ParameterError.of(name, chosen, f"the source has {length} {name}s, numbered from 0")
    return [number]
