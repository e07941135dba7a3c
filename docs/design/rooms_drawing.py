"""The rooms of tilecore, a row for each rank, and who imports whom: drawn from the imports themselves."""

from __future__ import annotations

import matplotlib.pyplot as plt

from tests.test_architecture import MODULES, RANKS, dotted, imports, room

WIDTH, HEIGHT = 1.94, 0.52
#: How far from the middle of a room its arrows may begin and end.
REACH = 0.6
#: Where rooms stand in their row, so that no arrow runs behind one; others get the next free place.
ACROSS = {
    "cli": 0.0,
    "compat": 3.9,
    "blobs": -1.0,
    "stacks": 3.9,
    "filters": 6.4,
    "pictures": 0.9,
    "engine": 0.5,
    "executors": -1.2,
    "formats": 2.2,
    "samples": -6.2,
    "arrays": 0.5,
    "geometry": -1.4,
    "memory": 1.6,
    "configuration": -3.6,
    "output_file": 4.2,
    "spreading": 0.0,
    "bytesize": -1.4,
    "machine": 0.9,
    "locked_file": 3.2,
    "renaming": 5.2,
    "plugins": 7.2,
    "extras": 9.2,
    "recordings": 6.6,
    "datasets": 9.2,
    "array_types": -3.6,
    "errors": 0.9,
}


def room_imports() -> dict[str, set[str]]:
    """Of each room the rooms that it imports."""
    graph: dict[str, set[str]] = {name: set() for name in RANKS}
    for path in MODULES:
        own = room(dotted(path))
        if own in graph:
            graph[own] |= {room(module) for module in imports(path)} - {own}
    return graph


def reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    """All rooms that a room needs, directly or by way of others."""
    return set().union(*({other} | reachable(graph, other) for other in graph[start]))


def without_detours(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """The same, without the imports that follow from others: they would only hide these."""
    return {
        name: {other for other in others if not any(other in reachable(graph, third) for third in others)}
        for name, others in graph.items()
    }


def places() -> dict[str, tuple[float, float]]:
    """Where each room is drawn: its rank is its height."""
    where: dict[str, tuple[float, float]] = {}
    for name, rank in sorted(RANKS.items(), key=lambda item: item[0] not in ACROSS):
        free = max((x for x, y in where.values() if y == rank), default=-2.0) + 2
        where[name] = (ACROSS.get(name, free), float(rank))
    return where


def draw_arrow(axes: plt.Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    (x, y), (to_x, to_y) = start, end
    ends = {
        "xytext": (min(max(to_x, x - REACH), x + REACH), y - HEIGHT / 2),
        "xy": (min(max(x, to_x - REACH), to_x + REACH), to_y + HEIGHT / 2),
    }
    axes.annotate("", **ends, arrowprops={"arrowstyle": "-|>", "color": "0.45", "linewidth": 1.1}, zorder=1)


def draw_room(axes: plt.Axes, name: str, x: float, y: float, width: float = WIDTH) -> None:
    corner = (x - width / 2, y - HEIGHT / 2)
    axes.add_patch(plt.Rectangle(corner, width, HEIGHT, facecolor="#dcebee", edgecolor="#2f6f7e", zorder=2))
    axes.text(x, y, name, ha="center", va="center", fontsize=12, zorder=3)


def draw() -> None:
    """Draw all rooms; ``errors`` is the floor on which all others stand."""
    where = places()
    left, right = min(x for x, _ in where.values()) - WIDTH / 2, max(x for x, _ in where.values()) + WIDTH / 2
    figure, axes = plt.subplots(figsize=(11, 8))
    for name, others in without_detours(room_imports()).items():
        for other in others - {"errors"}:
            draw_arrow(axes, where[name], where[other])
    for name, (x, y) in where.items():
        if name != "errors":
            draw_room(axes, name, x, y)
    draw_room(axes, "errors", (left + right) / 2, RANKS["errors"], right - left)
    for rank in sorted(set(RANKS.values())):
        axes.text(left - 0.3, rank, f"rank {rank}", ha="right", va="center", fontsize=11, color="0.35")
    axes.set_xlim(left - 2, right + 0.1)
    axes.set_ylim(-0.5, max(RANKS.values()) + 0.5)
    axes.axis("off")
    figure.tight_layout()


draw()
