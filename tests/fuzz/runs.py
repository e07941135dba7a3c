"""Random executors, surroundings and boundaries for all fuzzers."""

from __future__ import annotations

import random as randomness
from typing import Any

from tests.fuzz.functions import Pairs

BOUNDARIES = ["reflect", "symmetric", "edge", "wrap", "constant"]


def draw_run(random: randomness.Random, *, processes: float = 0.06) -> dict[str, Any]:
    """Draw options that choose an executor."""
    executor = random.choices(["serial", "threads", "processes"], [0.6, 0.4 - processes, processes])[0]
    run: dict[str, Any] = {"executor": executor, "progress": False}
    if executor == "serial":
        return run
    run["workers"] = random.randint(1, 3 if executor == "threads" else 2)
    if executor == "processes":
        run["start_method"] = random.choices(["forkserver", "fork", "spawn"], [60, 35, 5])[0]
    return run


def draw_boundary(random: randomness.Random, dtype: str) -> Any:
    """Draw a boundary that is possible for a volume of this dtype."""
    if random.random() < 0.5:
        return None
    value = {"?": True, "f": -1.5, "c": 2.5}.get(dtype[1:2] or dtype, 7)
    return random.choice([*BOUNDARIES, value])


def draw_pairs(random: randomness.Random, ndim: int, longest: int = 4) -> Pairs:
    """Draw numbers of voxels before and after, per axis."""
    kind = random.choice(["none", "alike", "any", "any", "long"])
    if kind == "none":
        return ((0, 0),) * ndim
    if kind == "alike":
        return ((random.randint(1, 3),) * 2,) * ndim
    most = 12 if kind == "long" else longest
    return tuple([(random.randint(0, most), random.randint(0, most)) for _ in range(ndim)])


def as_given(random: randomness.Random, pairs: Pairs) -> Any:
    """Halo in one of the forms that callers use."""
    if all(pair == pairs[0] and pair[0] == pair[1] for pair in pairs) and random.random() < 0.5:
        return pairs[0][0]
    if all(before == after for before, after in pairs) and random.random() < 0.5:
        return tuple([before for before, _ in pairs])
    return list(pairs)
