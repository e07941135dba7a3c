"""Declarations of functions: the context that a function needs, and the array that its results make."""

from __future__ import annotations

import functools
import math
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

# Name of the attribute in which `declare` stores the declarations.
_KEPT = "__tilecore__"

# Types whose attributes are declarations; other objects may have attributes of these names for other reasons.
_CODE = (types.FunctionType, types.MethodType, functools.partial)
_OF_CODE_ALONE = ("dtype", "scale", "name", "bytes_per_voxel")


@dataclass(frozen=True)
class Declared:
    """Declarations of a function, for the arguments that it will get; None where it declares nothing.

    Attributes
    ----------
    halo : HaloLike
        Context that the function needs around a tile [voxel].
    boundary : Boundary
        Boundary mode or value beyond the volume's edges.
    dtype : dtype_like, or sequence of them
        Data type of the results.
    scale : number or sequence of numbers
        Number of result voxels per voxel of the volume.
    columns : sequence of str
        For a detector: names of the columns after the positions.
    name : str
        Name of the run in messages.
    bytes_per_voxel : float
        Memory that a call needs for each voxel of its block, the block and the result included [byte].
    """

    halo: Any = None
    boundary: Any = None
    dtype: Any = None
    scale: Any = None
    columns: Any = None
    name: Any = None
    bytes_per_voxel: Any = None

    @classmethod
    def of(cls, function: Callable[..., Any], arguments: Mapping[str, Any] | None = None) -> Self:
        """Read the declarations of a function, or of the function that it wraps.

        Parameters
        ----------
        function : callable
            Function that was given to `declare`, or that has attributes of these names. Their values are the
            declarations, or functions that compute them from the arguments. Also read are functions inside
            `functools.partial`, and the method ``__call__`` of an object. The attributes dtype, scale,
            name and bytes_per_voxel of an object itself have other meanings and are not read.
        arguments : mapping, optional
            Arguments that the function will be called with, besides its blocks.

        Raises
        ------
        ParameterError
            If a function that computes a declaration fails, or `bytes_per_voxel` is no number above 0.
        """
        layers, arguments = _layers(function), dict(arguments or {})
        while isinstance(function, functools.partial):
            arguments = {**function.keywords, **arguments}
            function = function.func
        told = {field.name: _told(layers, field.name, arguments) for field in fields(cls)}
        if told["name"] is None:
            told["name"] = getattr(function, "__name__", type(function).__name__)
        needed = told["bytes_per_voxel"]
        if needed is not None and not (isinstance(needed, (int, float)) and 0 < needed < math.inf):
            raise ParameterError.of("bytes_per_voxel", needed, "must be a number above 0")
        return cls(**told)


def declare(
    *,
    halo: HaloLike | Callable[..., HaloLike] | None = None,
    boundary: Boundary | Callable[..., Boundary] = None,
    dtype: DTypesLike | Callable[..., DTypesLike] = None,
    scale: ScaleLike | Callable[..., ScaleLike] | None = None,
    columns: Sequence[str] | Callable[..., Sequence[str]] | None = None,
    name: str | Callable[..., str] | None = None,
    bytes_per_voxel: float | Callable[..., float] | None = None,
) -> Callable[[Function], Function]:
    """Declare what a function needs, so that callers need not pass it: a decorator.

    Each declaration is a value, or a function that computes the value from the arguments of a run
    (``kwargs``, ``params``). Values that a caller passes are used first.

    Parameters
    ----------
    halo : int, sequence of int, or sequence of (int, int)
        Context around a tile [voxel].
    boundary : {"reflect", "symmetric", "edge", "wrap", "constant"} or number
        Boundary mode or value beyond the volume's edges.
    dtype : dtype_like, or sequence of them
        Data type of the results of `map_tiles`.
    scale : number or sequence of numbers
        Number of result voxels per voxel of the volume, for `map_tiles`.
    columns : sequence of str
        For a detector of `detect_blobs`: names of the columns after the positions.
    name : str
        Name of the run in messages. Default: the function's own name.
    bytes_per_voxel : float
        Memory that a call needs for each voxel of its block, the block and the result included [byte]. Default: it is
        measured where tiles are chosen, and guessed otherwise.

    Returns
    -------
    callable
        Decorator that returns the same function.

    Raises
    ------
    ParameterTypeError
        If the decorated object cannot have attributes.

    Notes
    -----
    Process-safety: only the calling process reads declarations, before any work.

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
    given = vars(Declared(halo, boundary, dtype, scale, columns, name, bytes_per_voxel))
    declared = {name: value for name, value in given.items() if value is not None}

    def decorate(function: Function) -> Function:
        try:
            setattr(function, _KEPT, {**(_attribute(function, _KEPT) or {}), **declared})
        except AttributeError as error:
            raise ParameterTypeError.of(
                "function", function, f"the declarations cannot be stored ({error}); wrap the object in a function"
            ) from error
        return function

    return decorate


def first_given(*values: Value | None) -> Value | None:
    """Return the first value that is not None, such as the caller's, the declared one, or the default."""
    return next((value for value in values if value is not None), None)


def _layers(function: object) -> list[Any]:
    """A function and the functions inside it, the outermost first: partial functions, and callable objects."""
    if isinstance(function, functools.partial):
        return [function, *_layers(function.func)]
    return [function] if isinstance(function, _CODE) else [function, getattr(function, "__call__", None)]  # noqa: B004


def _told(layers: list[Any], name: str, arguments: Mapping[str, Any]) -> object:
    """Declaration of a name by the outermost layer that has one; None if none has."""
    for layer in layers:
        value = (_attribute(layer, _KEPT) or {}).get(name)
        if value is None and (name not in _OF_CODE_ALONE or isinstance(layer, _CODE)):
            value = _attribute(layer, name)
        if value is not None:
            return _value(value, layer, name, arguments)
    return None


def _attribute(layer: object, name: str) -> Any:
    """Attribute that really exists, otherwise None; some objects make up any attribute that is asked for."""
    layer = getattr(layer, "__func__", layer)
    is_there = hasattr(type(layer), name) or name in getattr(layer, "__dict__", ())
    return getattr(layer, name) if is_there else None


def _value(value: object, layer: object, name: str, arguments: Mapping[str, Any]) -> object:
    """Return a declared value, or compute it from the arguments (and the object, if a method declares it)."""
    if not callable(value) or isinstance(value, type):
        return value
    owner = [layer.__self__] if isinstance(layer, types.MethodType) else []
    try:
        return value(*owner, **arguments)
    except Exception as error:
        called = getattr(layer, "__qualname__", None) or repr(layer)
        raise ParameterError(
            f"the {name} that {called} declares cannot be computed for {arguments} ({error}): pass the arguments it "
            f"needs, or pass {name}= yourself"
        ) from error
