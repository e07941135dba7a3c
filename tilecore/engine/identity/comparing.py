"""Comparison of fingerprints: how two of them differ, in words, and what they cannot know."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from tilecore.array_types import Json
from tilecore.engine.identity.describer import UNKNOWN

__all__ = ["are_same", "differences", "what_is_unknown"]

# Text that no JSON value of a fingerprint equals.
_MISSING = "\0missing"


def what_is_unknown(fingerprint: dict[str, Any]) -> str:
    """Describe what of a run cannot be known, and the remedy; empty text if all is known."""
    unknown = " and ".join(_unknown_parts(fingerprint))
    return unknown and (
        f"it is not known whether {unknown} is the same in another run; "
        "name it yourself with identity='...', such as 'model-v3', from the first run on"
    )


def are_same(before: Json, now: Json) -> bool:
    """Whether two JSON values are equal as text; 1, 1.0 and true are different."""
    return json.dumps(before, sort_keys=True) == json.dumps(now, sort_keys=True)


def differences(before: Json, now: Json, name: str = "") -> list[str]:
    """List the places where two JSON values differ, each by its name."""
    if are_same(before, now):
        return []
    if isinstance(before, dict) and isinstance(now, dict):
        keys = sorted({*before, *now})
        inner = [
            differences(before.get(key, _MISSING), now.get(key, _MISSING), f"{name}.{key}".lstrip(".")) for key in keys
        ]
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now) and _is_nested(now):
        pairs = enumerate(zip(before, now, strict=True))
        inner = [differences(*each, f"{name}[{number}]") for number, each in pairs]
    else:
        same_kind = name.rpartition(".")[2] in ("code", "digest") and before is not None and now is not None
        return [f"{name} differs" if same_kind else f"{name} was {_brief(before)}, is {_brief(now)}"]
    return [difference for each in inner for difference in each]


def _is_nested(values: list[Any]) -> bool:
    return any(isinstance(each, (dict, list)) for each in values)


def _brief(value: Json) -> str:
    if value == _MISSING:
        return "missing"
    text = json.dumps(value)
    return text if len(text) <= 200 else text[:200] + "..."


def _unknown_parts(described: Json, name: str = "") -> Iterator[str]:
    """Yield each part of a fingerprint that cannot be known, with its name."""
    if isinstance(described, dict):
        if UNKNOWN in described:
            yield f"{name}, {described[UNKNOWN]},"
            return
        pairs: Iterable[tuple[Any, Any]] = ((f"{name}.{key}".lstrip("."), each) for key, each in described.items())
    elif isinstance(described, list):
        pairs = ((f"{name}[{number}]", each) for number, each in enumerate(described))
    else:
        return
    for inner, each in pairs:
        yield from _unknown_parts(each, inner)
