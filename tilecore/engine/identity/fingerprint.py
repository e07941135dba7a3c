"""What makes a run the same run: its function, arguments, sources and geometry, as plain values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tilecore.array_types import ReadableArray
from tilecore.arrays.kinds import access_of
from tilecore.engine.identity.describer import UNKNOWN, Describer, unknown
from tilecore.engine.identity.installed import is_installed_module
from tilecore.engine.identity.values import new_describer
from tilecore.engine.inputs import Inputs
from tilecore.engine.jobs import TileJob
from tilecore.geometry.tiles import TileGrid

__all__ = ["fingerprint"]


def fingerprint(
    job: TileJob, inputs: Inputs, grid: TileGrid, identity: str | None = None, dtypes: Sequence[Any] = ()
) -> dict[str, Any]:
    """Describe what a job computes, tile shape and workers aside.

    Parameters
    ----------
    job : TileJob
    inputs : Inputs
    grid : TileGrid
    identity : str, optional
        Stands for the function, and for all that cannot be known of arguments and sources.
    dtypes : sequence of dtype, or None each
        Of the outputs, as far as they were asked for.

    Returns
    -------
    dict
        Of JSON values; two runs with the same one may share a journal.
    """
    describe = new_describer()
    described = {
        "kind": type(job).__name__,
        "shape": list(grid.shape),
        "halo": [list(pair) for pair in grid.halo],
        "boundary": job.boundary if isinstance(job.boundary, (str, type(None))) else float(job.boundary),
        "function": describe(job.function) if identity is None else {"identity": identity},
        "kwargs": {name: describe(job.kwargs[name]) for name in sorted(job.kwargs)},
        "pass_tile": job.pass_tile,
        "sources": [_source(source, describe) for source in inputs.arrays],
        "placement": repr(getattr(job, "placement", None)),
        "dtypes": [None if dtype is None else str(dtype) for dtype in dtypes],
    }
    described["code"] = describe.finish()
    return described if identity is None else _vouched(described, identity)


def _source(source: ReadableArray, describe: Describer) -> dict[str, Any]:
    described: dict[str, Any] = {"shape": list(source.shape), "dtype": str(source.dtype)}
    if (content := access_of(source).content()) is not None:
        return described | content
    # What a package's array computes its voxels from is the package's secret.
    of_package = is_installed_module(type(source).__module__) and not type(source).__module__.startswith("tilecore")
    return described | {"object": unknown(source) if of_package else describe(source)}


def _vouched(described: Any, identity: str) -> Any:
    """The same, with the caller's word in place of what cannot be known."""
    if isinstance(described, dict):
        if UNKNOWN in described:
            return {"identity": identity}
        return {name: _vouched(each, identity) for name, each in described.items()}
    return [_vouched(each, identity) for each in described] if isinstance(described, list) else described
