"""Fingerprints of runs: function, arguments, sources and geometry as JSON values."""

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
    job: TileJob,
    inputs: Inputs,
    grid: TileGrid,
    identity: str | None = None,
    dtypes: Sequence[Any] = (),
    datasets: Sequence[str] = (),
) -> dict[str, Any]:
    """Describe what a job computes, without tile shape and workers.

    Parameters
    ----------
    job : TileJob
        Function and arguments.
    inputs : Inputs
        Sources.
    grid : TileGrid
        Tiles, of which shape and halo are used.
    identity : str, optional
        Name that stands for the function, and for all parts of arguments and sources that cannot be known.
    dtypes : sequence of dtype, or None each
        Data types of the outputs, None for those that the caller did not set.
    datasets : sequence of str
        Name of each output's dataset in its file; empty for those that have no name.

    Returns
    -------
    dict
        JSON values; two runs with equal fingerprints may share a journal.
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
    if any(datasets):
        described["datasets"] = list(datasets)
    described["code"] = describe.finish()
    return described if identity is None else _vouched(described, identity)


def _source(source: ReadableArray, describe: Describer) -> dict[str, Any]:
    described: dict[str, Any] = {"shape": list(source.shape), "dtype": str(source.dtype)}
    if (content := access_of(source).content()) is not None:
        return described | content
    # An array class of a package may compute voxels from data that cannot be seen from outside.
    of_package = is_installed_module(type(source).__module__) and not type(source).__module__.startswith("tilecore")
    return described | {"object": unknown(source) if of_package else describe(source)}


def _vouched(described: Any, identity: str) -> Any:
    """Put the caller's `identity` in place of all parts that cannot be known."""
    if isinstance(described, dict):
        if UNKNOWN in described:
            return {"identity": identity}
        return {name: _vouched(each, identity) for name, each in described.items()}
    return [_vouched(each, identity) for each in described] if isinstance(described, list) else described
