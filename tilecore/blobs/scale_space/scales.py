"""Scale spaces: the scales of a detector, and the kernels of each scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.ndimage as ndi

from tilecore.errors import ParameterError, ParameterTypeError

__all__ = ["KINDS", "Kind", "Scale", "ScaleSpace", "Sigma", "folded", "halo_for"]

#: Kinds of scale spaces: Laplacian of Gaussian, difference of Gaussians, determinant of the Hessian.
Kind: TypeAlias = Literal["log", "dog", "doh"]
KINDS: tuple[Kind, ...] = ("log", "dog", "doh")
#: Standard deviation: one for all axes, or one for each [voxel].
Sigma: TypeAlias = float | Sequence[float]
Floats: TypeAlias = npt.NDArray[np.float64]


def halo_for(
    detector: Kind = "log",
    *,
    min_sigma: Sigma = 1,
    max_sigma: Sigma = 50,
    num_sigma: int = 10,
    sigma_ratio: float = 1.6,
    log_scale: bool = False,
    ndim: int = 3,
) -> tuple[int, ...]:
    """Return the halo that a detector needs to be exact.

    Parameters
    ----------
    detector : {"log", "dog"}
        Name of the detector. The determinant of the Hessian needs the whole image and has no halo.
    min_sigma, max_sigma, num_sigma, sigma_ratio, log_scale
        As for `detect_blobs`.
    ndim : int
        Number of axes of the volume.

    Returns
    -------
    tuple of int
        Halo per axis: the reach of the largest kernel, and one neighbour to compare with [voxel].

    Raises
    ------
    ParameterError
        If a parameter has a wrong value.

    Examples
    --------
    >>> halo_for("log", min_sigma=2, max_sigma=5, num_sigma=4)
    (21, 21, 21)
    """
    if detector not in ("log", "dog"):
        raise ParameterError.of("detector", detector, "must be 'log' or 'dog', as others have no halo")
    return ScaleSpace.of(
        detector,
        np.dtype(np.float64),
        ndim,
        min_sigma=min_sigma,
        max_sigma=max_sigma,
        num_sigma=num_sigma,
        sigma_ratio=sigma_ratio,
        log_scale=log_scale,
    ).halo


@dataclass(frozen=True)
class ScaleSpace:
    """Scales of a detector, as plain values that are sent to workers.

    Attributes
    ----------
    kind : {"log", "dog", "doh"}
        Kind of the scale space.
    sigmas : tuple of tuple of float
        Standard deviation along each axis, for each scale [voxel]. The difference of
        Gaussians has one more of them than scales.
    dtype : str
        Data type in which scikit-image computes for this volume: float32 for float16 and
        float32, otherwise float64. Rounding decides ties, so it must be the same here.
    is_isotropic : bool
        Whether one standard deviation was given for all axes.
    factor : float
        Factor of differences of Gaussians.
    """

    kind: Kind
    sigmas: tuple[tuple[float, ...], ...]
    dtype: str
    is_isotropic: bool = True
    factor: float = 1.0

    @classmethod
    def of(
        cls,
        kind: Kind,
        image_dtype: np.dtype[Any],
        ndim: int,
        *,
        min_sigma: Sigma,
        max_sigma: Sigma,
        num_sigma: int,
        sigma_ratio: float,
        log_scale: bool,
    ) -> ScaleSpace:
        """Build a scale space from the parameters of scikit-image's functions.

        Raises
        ------
        ParameterError
            If sigmas are not positive or not in order, or a number is out of range.
        """
        dtype = np.dtype(np.float32 if image_dtype.char in "ef" else np.float64)
        sigma_dtype = np.dtype(np.float64) if kind == "doh" else dtype
        low = _per_axis(min_sigma, "min_sigma", ndim, sigma_dtype)
        high = _per_axis(max_sigma, "max_sigma", ndim, sigma_dtype)
        if not (low <= high).all():
            raise ParameterError.of("min_sigma", min_sigma, f"must be at most max_sigma={max_sigma}")
        isotropic = np.ndim(min_sigma) == np.ndim(max_sigma) == 0
        if kind == "doh" and (ndim != 2 or not isotropic):
            raise ParameterError.of("detector", kind, "is for images of two axes, and one sigma for both")
        if kind == "dog":
            if not sigma_ratio > 1 or math.isinf(sigma_ratio):
                raise ParameterError.of("sigma_ratio", sigma_ratio, "must be a number larger than 1")
            n_scales = int(np.mean(np.log(high / low) / np.log(sigma_ratio) + 1))
            sigmas = np.array([low * (sigma_ratio**number) for number in range(n_scales + 1)])
            return cls(kind, _as_tuples(sigmas), dtype.name, isotropic, 1 / (sigma_ratio - 1))
        if num_sigma < 1:
            raise ParameterError.of("num_sigma", num_sigma, "at least 1")
        if log_scale:
            first, last = np.log10(low), np.log10(high)
            if kind == "doh":  # scikit-image rounds this logarithm differently, which gives other scales
                first, last = (np.full(2, math.log(each[0], 10)) for each in (low, high))  # noqa: FURB163
            sigmas = np.logspace(first, last, num_sigma)
        else:
            sigmas = np.linspace(low, high, num_sigma)
        return cls(kind, _as_tuples(sigmas), dtype.name, isotropic)

    def __len__(self) -> int:
        return len(self.sigmas) - (self.kind == "dog")

    @property
    def scales(self) -> tuple[Scale, ...]:
        """The scales with their kernels, computed once in each process."""
        return _scales(self)

    @property
    def halo(self) -> tuple[int, ...]:
        """Reach of the largest kernel, and one neighbour, per axis [voxel]."""
        return tuple([max(radii) + 1 for radii in zip(*[scale.radii for scale in self.scales], strict=True)])


@lru_cache(maxsize=64)
def _scales(space: ScaleSpace) -> tuple[Scale, ...]:
    sigmas = np.array(space.sigmas, dtype=space.dtype)
    if space.kind == "log":
        # The factor sigma squared (mean over the axes) makes responses of all scales comparable.
        return tuple([Scale(np.stack([s, s]), space, float(-(np.mean(s) ** 2))) for s in sigmas])
    return tuple([Scale(np.stack(pair), space, space.factor) for pair in pairwise(sigmas)])


@dataclass(frozen=True, eq=False)
class Scale:
    """One scale of a scale space: its response is a sum of products of one kernel per axis.

    Attributes
    ----------
    pair : ndarray, shape (2, ndim)
        The two Gaussians of a difference; for a Laplacian, the same one twice.
    space : ScaleSpace
        Scale space that the scale belongs to.
    factor : float
        Factor of the sum.
    """

    pair: npt.NDArray[Any]
    space: ScaleSpace
    factor: float

    @property
    def sigma(self) -> tuple[float, ...]:
        """Standard deviation per axis of blobs at this scale [voxel]."""
        return tuple(self.pair[0].tolist())

    @property
    def is_laplacian(self) -> bool:
        """Whether the response is a sum of second derivatives, and not a difference."""
        return self.space.kind == "log"

    @cached_property
    def radii(self) -> tuple[int, ...]:
        """Reach of the kernels per axis [voxel]; scipy cuts kernels at four standard deviations."""
        return tuple([_radius(each) for each in self.pair.max(axis=0)])

    @cached_property
    def kernels(self) -> tuple[tuple[Floats, Floats], ...]:
        """For each axis, the Gaussian and its second derivative, or the two Gaussians, with the same length."""
        order = 2 if self.is_laplacian else 0
        return tuple(
            [
                (_kernel(first, 0, radius), _kernel(second, order, radius))
                for first, second, radius in zip(*self.pair, self.radii, strict=True)
            ]
        )

    @cached_property
    def gain(self) -> float:
        """Largest magnitude of the response to an image of magnitude one."""
        return abs(self.factor) * self._sum([[float(abs(each).sum()) for each in pair] for pair in self.kernels], 1)

    @cached_property
    def constant(self) -> float:
        """Response to an image of ones; it is not zero, because the kernels are cut."""
        return self.factor * self._sum([[float(each.sum()) for each in pair] for pair in self.kernels], -1)

    def dense(self, image: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Compute the response to a whole image of dtype `space.dtype`, as scikit-image does."""
        if self.is_laplacian:
            response: npt.NDArray[Any] = -ndi.gaussian_laplace(image, self.pair[0]) * np.mean(self.pair[0]) ** 2
        else:
            response = ndi.gaussian_filter(image, self.pair[0]) - ndi.gaussian_filter(image, self.pair[1])
            response *= self.factor
        return response

    def _sum(self, sums: list[list[float]], sign: int) -> float:
        """Combine sums of the kernels in the same way as responses."""
        if self.is_laplacian:
            terms = range(len(sums))
            return sum(math.prod(pair[axis == term] for axis, pair in enumerate(sums)) for term in terms)
        return math.prod(pair[0] for pair in sums) + sign * math.prod(pair[1] for pair in sums)


def folded(positions: npt.NDArray[np.int64], length: int) -> npt.NDArray[np.int64]:
    """Mirror positions outside an axis into it, as scipy's mode ``reflect``: d c b a | a b c d | d c b a."""
    inside = positions % (2 * length)
    return np.where(inside < length, inside, 2 * length - 1 - inside)


def _per_axis(sigma: Sigma, name: str, ndim: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    try:
        values = np.asarray(sigma, dtype=np.float64)
    except (TypeError, ValueError):
        raise ParameterTypeError.of(name, sigma, "a number, or one for each axis") from None
    if values.ndim and values.shape != (ndim,):
        raise ParameterError.of(name, sigma, f"one number, or one for each of {ndim} axes")
    if not (np.isfinite(values).all() and (values > 0).all()):
        raise ParameterError.of(name, sigma, "must be more than zero")
    return np.full(ndim, values, dtype=dtype)


def _as_tuples(sigmas: npt.NDArray[Any]) -> tuple[tuple[float, ...], ...]:
    return tuple([tuple(row) for row in sigmas.tolist()])


def _radius(sigma: float) -> int:
    return int(4.0 * float(sigma) + 0.5)


def _kernel(sigma: float, order: int, radius: int) -> Floats:
    """Return scipy's kernel, found by filtering an impulse, so that it cannot differ from scipy's formula."""
    own = _radius(sigma)
    impulse = np.zeros(4 * own + 1)
    impulse[2 * own] = 1.0
    kernel = np.zeros(2 * radius + 1)
    answer = ndi.gaussian_filter1d(impulse, sigma, order=order, mode="constant")
    kernel[radius - own : radius + own + 1] = answer[own : 3 * own + 1]
    return kernel
