"""What a function says of itself: the context it needs, and the array that its results make."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Self, TypeVar

from tilecore.errors import ParameterError, ParameterTypeError

if TYPE_CHECKING:
    from tilecore.array_types import DTypesLike
    from tilecore.arrays.padding import Boundary
    from tilecore.geometry.per_axis import HaloLike
    from tilecore.geometry.placement import ScaleLike

__all__ = ["Declared", "declare", "first_given"]

Function = TypeVar("Function", bound=Callable[..., Any])
Value = TypeVar("Value")

# Where `declare` keeps what it was told.
_KEPT = "__tilecore__"

# Whose attributes say something of what they do; those of other objects may be there for other reasons.
_CODE = (types.FunctionType, types.MethodType, functools.partial)
_OF_CODE_ALONE = ("dtype", "scale", "name")


@dataclass(frozen=True)
class Declared:
    """What a function says of itself, for the arguments that it will get; None each: nothing.

    Attributes
    ----------
    halo : HaloLike
        Context that it needs around a tile [voxel].
    boundary : Boundary
        What its blocks have beyond the volume.
    dtype : dtype_like, or sequence of them
        Of its results.
    scale : number or sequence of numbers
        Voxels of its result per voxel of the volume.
    columns : sequence of str
        Of a detector: what stands behind the positions.
    name : str
        What a run of it is called where it is shown.
    """

    halo: Any = None
    boundary: Any = None
    dtype: Any = None
    scale: Any = None
    columns: Any = None
    name: Any = None

    @classmethod
    def of(cls, function: Callable[..., Any], arguments: Mapping[str, Any] | None = None) -> Self:
        """Ask a function, or what it wraps.

        Parameters
        ----------
        function : callable
            One that was given to `declare`, or has attributes of these names. What they hold are
            the values, or functions of its arguments that give them. `functools.partial` is
            looked into, and the method ``__call__`` of an object. An object's own attributes
            dtype, scale and name are there for other reasons, and say nothing.
        arguments : mapping, optional
            That it will be called with, besides its blocks.

        Raises
        ------
        ParameterError
            If a function that is to give a value fails.
        """
        layers, arguments = _layers(function), dict(arguments or {})
        while isinstance(function, functools.partial):
            arguments = {**function.keywords, **arguments}
            function = function.func
        told = {field.name: _told(layers, field.name, arguments) for field in fields(cls)}
        if told["name"] is None:
            told["name"] = getattr(function, "__name__", type(function).__name__)
        return cls(**told)


def declare(
    *,
    halo: HaloLike | Callable[..., HaloLike] | None = None,
    boundary: Boundary | Callable[..., Boundary] = None,
    dtype: DTypesLike | Callable[..., DTypesLike] = None,
    scale: ScaleLike | Callable[..., ScaleLike] | None = None,
    columns: Sequence[str] | Callable[..., Sequence[str]] | None = None,
    name: str | Callable[..., str] | None = None,
) -> Callable[[Function], Function]:
    """Say what a function needs, so that no caller has to: a decorator.

    Each is a value, or a function that gets the arguments of a run (``kwargs``, ``params``) and
    gives the value. What a caller gives himself comes first.

    Parameters
    ----------
    halo : int, sequence of int, or sequence of (int, int)
        Context around a tile [voxel].
    boundary : {"reflect", "symmetric", "edge", "wrap", "constant"} or number
        What blocks have beyond the volume's edges.
    dtype : dtype_like, or sequence of them
        Of the results of `map_tiles`.
    scale : number or sequence of numbers
        Voxels of the result per voxel of the volume, of `map_tiles`.
    columns : sequence of str
        Of a detector of `detect_blobs`: what stands behind the positions.
    name : str
        What the run is called where it is shown. Default: the function's own.

    Returns
    -------
    callable
        Takes a function, and returns the same function.

    Raises
    ------
    ParameterTypeError
        If what is decorated can have no attributes.

    Notes
    -----
    Process-safety: read by the calling process alone, before any work.

    Examples
    --------
    >>> import numpy as np
    >>> from tilecore import declare, map_tiles
    >>> @declare(halo=lambda sigma: int(4 * sigma + 0.5), dtype="f4")
    ... def smooth(block, sigma):
    ...     from scipy.ndimage import gaussian_filter
    ...     return gaussian_filter(block, sigma)
    >>> map_tiles(smooth, np.ones((9, 9)), kwargs={"sigma": 0.5}, tile_shape=4, executor="serial").dtype
    dtype('float32')
    """
    given = vars(Declared(halo, boundary, dtype, scale, columns, name))
    declared = {name: value for name, value in given.items() if value is not None}

    def decorate(function: Function) -> Function:
        try:
            setattr(function, _KEPT, {**(_attribute(function, _KEPT) or {}), **declared})
        except AttributeError as error:
            raise ParameterTypeError.of(
                "function", function, f"what is declared cannot be kept ({error}); wrap it in a function of your own"
            ) from error
        return function

    return decorate


def first_given(*values: Value | None) -> Value | None:
    """The first that is not None: what the caller has said, what the function declares, what else there is."""
    return next((value for value in values if value is not None), None)


def _layers(function: object) -> list[Any]:
    """A function and those in it, the outermost first: of partial functions, and of objects that are called."""
    if isinstance(function, functools.partial):
        return [function, *_layers(function.func)]
    return [function] if isinstance(function, _CODE) else [function, getattr(function, "__call__", None)]  # noqa: B004


def _told(layers: list[Any], name: str, arguments: Mapping[str, Any]) -> object:
    """What the outermost of several functions says under a name."""
    for layer in layers:
        value = (_attribute(layer, _KEPT) or {}).get(name)
        if value is None and (name not in _OF_CODE_ALONE or isinstance(layer, _CODE)):
            value = _attribute(layer, name)
        if value is not None:
            return _value(value, layer, name, arguments)
    return None


def _attribute(layer: object, name: str) -> Any:
    """An attribute that is there: some objects make up any that they are asked for."""
    layer = getattr(layer, "__func__", layer)
    is_there = hasattr(type(layer), name) or name in getattr(layer, "__dict__", ())
    return getattr(layer, name) if is_there else None


def _value(value: object, layer: object, name: str, arguments: Mapping[str, Any]) -> object:
    """A value, or what a function says that it is for these arguments, and for the object whose method declares it."""
    if not callable(value) or isinstance(value, type):
        return value
    owner = [layer.__self__] if isinstance(layer, types.MethodType) else []
    try:
        return value(*owner, **arguments)
    except Exception as error:
        called = getattr(layer, "__qualname__", None) or repr(layer)
        raise ParameterError(
            f"the {name} that {called} declares is not known for {arguments} ({error}): give the arguments that it "
            f"asks for, or say the {name} yourself"
        ) from error
