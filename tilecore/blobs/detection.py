"""The function `detect_blobs`: the blobs of a whole volume, found tile by tile."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Unpack

import numpy as np

from tilecore.array_types import OneSource
from tilecore.blobs.channels import channels_of
from tilecore.blobs.defaults import LARGEST_SIGMA, NUM_SIGMA, OVERLAP, SIGMA_RATIO, THRESHOLD
from tilecore.blobs.detectors import (
    ScaleSpaceDetector,
    own_detector,
)
from tilecore.blobs.gathering import Seen, as_blobs
from tilecore.blobs.journals import of_place
from tilecore.blobs.parameters import (
    as_border,
    as_mask,
    check_numbers,
    check_unread,
    check_voxels,
    origin_of,
    sigmas_of,
    voxel_size_of,
)
from tilecore.blobs.scale_space.scales import KINDS, ScaleSpace, Sigma
from tilecore.blobs.search import Search
from tilecore.blobs.table import Blobs
from tilecore.engine.dimensions import HaloByName, TileShapeByName
from tilecore.engine.options import RunOptions
from tilecore.engine.verbs import takes_run_options
from tilecore.formats.opening import open_source

__all__ = ["detect_blobs"]

_log = logging.getLogger(__name__)


@takes_run_options
def detect_blobs(
    source: OneSource,
    *,
    detector: str | Callable[..., Any] = "log",
    min_sigma: Sigma = 1,
    max_sigma: Sigma | None = None,
    num_sigma: int = NUM_SIGMA,
    sigma_ratio: float = SIGMA_RATIO,
    threshold: float | Literal["default"] | None = "default",
    threshold_rel: float | None = None,
    overlap: float = OVERLAP,
    log_scale: bool = False,
    exclude_border: int | Sequence[int] | bool = False,
    voxel_size_um: float | Sequence[float] | None = None,
    diameter_um: float | tuple[float, float] | None = None,
    channel: int | str | None = None,
    time: int | None = None,
    axes: str | None = None,
    mask: OneSource | None = None,
    params: Mapping[str, Any] | None = None,
    halo: HaloByName | None = None,
    tile_shape: TileShapeByName = None,
    **run: Unpack[RunOptions],
) -> Blobs:
    """Find the bright blobs of a volume, tile by tile: exactly those that the detector finds in the whole volume.

    Parameters
    ----------
    source : array_like or path, shape (Z, Y, X) or (Y, X), with a channel axis or without
        The volume, with its axes in any order that it or `axes` tells. Integers are scaled as by
        `skimage.util.img_as_float`; floats are taken as they are. There is no blob at a voxel that is
        NaN or infinite, nor within the kernel's reach of such a voxel.
    detector : {"log", "dog", "doh"}, str or callable
        Laplacian of Gaussian; difference of Gaussians; for images of two axes, determinant of the Hessian.
        Or a function ``function(block, **params)``, as an object, as ``"module:name"``, or by its name
        among the entry points ``tilecore.detectors``. It returns an array, shape (n, ndim or
        more): positions in the block, then other columns. tilecore converts the positions
        to the volume, drops blobs that the tile does not own, merges and prunes.
    min_sigma, max_sigma : float or sequence of float
        Sigmas of the smallest and the largest blobs, as one number or one for each axis [voxel]. Default: 1 to 50;
        of ``"doh"`` 1 to 30.
    num_sigma : int
        Number of scales from the smallest to the largest; not for ``"dog"``.
    sigma_ratio : float
        Ratio of one scale of ``"dog"`` to the one before.
    threshold : float or None
        Limit that a blob's response must exceed. None: only `threshold_rel` is used. Default: 0.2; of ``"dog"`` 0.5,
        of ``"doh"`` 0.01; with `threshold_rel` None.
    threshold_rel : float, optional
        The same limit as a fraction of the largest response in the whole volume, which a first
        pass finds. If `threshold` is given, too, the larger of both limits is used.
    overlap : float
        Largest overlap of two blobs, as a fraction of the smaller one; above it only the larger stays.
        1: all stay. See `prune_blobs`.
    log_scale : bool
        Whether the scales are spaced by their logarithm.
    exclude_border : int or sequence of int
        Width of the border of the volume in which blobs are dropped, as one number or one per axis [voxel].
    voxel_size_um : float or sequence of float, optional
        Voxel size along each axis [um]. Default: the source's.
    diameter_um : float or (float, float), optional
        Diameter of the blobs, or of the smallest and the largest [um], instead of sigmas; one
        number stands for a range of a quarter around it. Needs the voxel size.
    channel : int or str, optional
        Number, or name in the file, of the channel to search. Default: all channels. Where nobody says which axis
        holds channels, it is the first or the last of four, whichever is likelier by their lengths, which is logged;
        of two or three it is the last, if a channel is given.
    time : int, optional
        Number of the time point to search, in a source that has several. Default: all, each by itself; the table
        then has a column ``t``.
    axes : str, optional
        One letter for each axis of the source, such as ``"TCZYX"`` or ``"XYZ"``, if it does not tell them or is
        wrong. Whatever their order, the function sees blocks with the axes z, y, x, and all that is given or returned
        for each axis is in this order.
    mask : array_like or path, optional
        Mask with the volume's shape; blobs where it is zero are dropped. It does not change responses. If it does
        not name its axes, they are those of the source.
    params : mapping, optional
        Arguments for a detector of your own.
    halo : int, sequence or dict, optional
        Context that a detector of your own needs around a tile [voxel]; also by the names of axes, z, y and x.
        Default: what it declares for `params`, see `declare`.
    tile_shape : int, sequence of int, or dict of str to int, optional
        As for `map_tiles`; by the names of axes, z, y and x.
    **run
        Executor, workers, retries, journal and other options of the run: see Other Parameters.

    Returns
    -------
    Blobs
        Table of the blobs, which is the same for all tiles, workers and executors. Responses are
        rounded to fourteen bits, about four digits. With ``shard=`` it has those that this part has found, not pruned;
        `finish` returns the table of all parts.

    Raises
    ------
    ParameterError, ParameterTypeError
        If a parameter has a wrong type or value, or does not fit the others.
    TileError
        If tiles failed, or a detector returned anything but points in its block; the message
        names the tile and the detector.

    Notes
    -----
    Positions and sigmas are those of `skimage.feature.blob_log`, `blob_dog` and `blob_doh` for the
    whole volume (before they prune). If neighbours have exactly the same response, each is a
    blob, as in scikit-image; a volume of a single value has no blobs.

    Responses are computed in single precision. Those that decide about a blob are computed again in
    double precision, as scipy computes them. A tile needs about thirty bytes for each voxel it reads,
    whatever the number of scales. ``"doh"`` needs sums over the whole image, so its halo is the
    image, and one tile is best.

    Process-safety: workers only read.

    References
    ----------
    .. [1] Parameters, defaults and meaning from `skimage.feature.blob_log`, `blob_dog` and `blob_doh`.

    Examples
    --------
    >>> volume = np.zeros((9, 20, 20))
    >>> volume[4, 6, 12] = 1
    >>> blobs = detect_blobs(volume, min_sigma=1, max_sigma=2, num_sigma=3, threshold=0.05, executor="serial")
    >>> np.asarray(blobs)
    array([[ 4.,  6., 12.,  1.]])
    """
    opened = open_source(source) if isinstance(source, (str, os.PathLike)) else source
    found = channels_of(opened, channel, time, axes)
    if found.guess is not None:
        _log.warning("the axes of the source, of shape %s, have no names: taken for %s", opened.shape, found.guess)
    first = next(iter(found.volumes.values()))
    shape = tuple(int(length) for length in first.shape)
    check_voxels(first.dtype)
    builtin = next((kind for kind in KINDS if kind == detector), None)
    unread = {"diameter_um": diameter_um} if builtin is None else {"params": params, "halo": halo}
    check_unread("a detector of your own" if builtin is None else f"detector {detector!r}", **unread)
    size = voxel_size_of(opened, voxel_size_um, found.axes)
    if diameter_um is not None:
        min_sigma, max_sigma = sigmas_of(diameter_um, size, len(shape))
    if threshold == "default":
        threshold = THRESHOLD.get(str(detector)) if threshold_rel is None else None
    masks = [] if mask is None else [as_mask(mask, shape, found.axes)]
    check_numbers(threshold=threshold, threshold_rel=threshold_rel, overlap=overlap)
    told: dict[str, Any] = {"voxel_size_um": size, "shape": shape, "axes_guess": found.guess}
    told["origin_um"] = origin_of(opened, voxel_size_um, found.axes)
    tables: list[dict[str, Any]] = []
    seen = Seen.nothing(len(shape))
    for place, volume in found.places():
        options = of_place(run, place, found)
        search = Search([volume, *masks], place, found.lengths(tile_shape), options, seen, told, overlap)
        if builtin is not None:
            space = ScaleSpace.of(
                builtin,
                np.dtype(volume.dtype),
                len(shape),
                min_sigma=min_sigma,
                max_sigma=LARGEST_SIGMA[str(detector)] if max_sigma is None else max_sigma,
                num_sigma=num_sigma,
                sigma_ratio=sigma_ratio,
                log_scale=log_scale,
            )
            chosen = ScaleSpaceDetector(space, shape, 0.0, as_border(exclude_border, len(shape)))
            tables.append(search.scale_space(chosen, threshold, threshold_rel))
        else:
            tables.append(search.columns(own_detector(detector, params, found.margin(halo))))
    return as_blobs(tables, seen, told, overlap if run.get("shard") is None else None)
