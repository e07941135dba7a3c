"""What tells a finished step of a pipeline from another: its function, its arguments, and all that came before."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from typing import Any

from tilecore.arrays.file_stamps import describe_files
from tilecore.engine.identity.comparing import what_is_unknown
from tilecore.engine.identity.values import new_describer
from tilecore.formats.raw_layout import finished_yaml, layout_of, read_yaml, yaml_path

__all__ = ["identity_of_file", "identity_of_step", "made_by", "sign"]

# Where the ``.yaml`` file of a step's output keeps it.
_KEY = "made_by"


def identity_of_file(path: str, params: Mapping[str, Any]) -> str:
    """Stand for a file that nobody here has made, by what it says of itself."""
    return _digest({"file": _stamps(path), "params": layout_of(params)})


def identity_of_step(before: str | None, function: Callable[..., Any], arguments: Mapping[str, object]) -> str | None:
    """Stand for the output of a step; None if something that decides it cannot be known.

    Parameters
    ----------
    before : str or None
        Stands for the step's input.
    function : callable
    arguments : mapping
        All else that decides the result.
    """
    describe = new_describer()
    described: dict[str, Any] = {"function": describe(function), "arguments": describe(dict(arguments))}
    described["code"] = describe.finish()
    return None if before is None or what_is_unknown(described) else _digest({"input": before, **described})


def sign(path: str, params: dict[str, Any], identity: str | None) -> dict[str, Any]:
    """Write into the ``.yaml`` file which step has made the output; return the parameters that are in it."""
    if identity is None:
        return params
    signed = {**params, _KEY: {"identity": identity, **_stamps(path)}}
    with finished_yaml(yaml_path(path), signed):
        pass
    return signed


def made_by(path: str, identity: str | None) -> dict[str, Any] | None:
    """Parameters of an output if that step has made it, and nobody has changed it since; otherwise None."""
    if identity is None or not (os.path.isfile(path) and yaml_path(path).is_file()):
        return None
    params = read_yaml(yaml_path(path))
    return params if params.get(_KEY) == {"identity": identity, **_stamps(path)} else None


def _stamps(path: str) -> dict[str, Any]:
    stamps = describe_files(path, [path])
    return {name: stamps[name] for name in ("size", "modified_ns")}


def _digest(described: object) -> str:
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
