"""Changes to graphs of dask that never change their results: inlining, fusion of chains, and new names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from graphlib import TopologicalSorter
from typing import TypeAlias

from tilecore.extras import need
from tilecore.throttling.names import custom_fused_keys_renamer, get_keys_pat, name_of, rewrite_key

need("throttling", "dask", "dask.array", "distributed")

from dask._task_spec import Alias, DataNode, GraphNode, Task, convert_legacy_graph  # noqa: E402
from dask.typing import Key  # noqa: E402

__all__ = ["Graph", "fuse_chains", "inline_keys", "inline_pattern", "matching", "rename_keys"]

#: Tasks of dask by key.
Graph: TypeAlias = dict[Key, GraphNode]


def matching(patterns: Iterable[str] | None, keys: Iterable[Key]) -> set[Key]:
    """Keys whose names match any of the patterns."""
    keys = list(keys)
    found: set[Key] = set()
    for pattern in patterns or ():
        chosen = get_keys_pat(pattern, keys, return_all=True)
        found.update(chosen if isinstance(chosen, list) else [chosen])
    return found


def inline_pattern(dsk: Mapping[Key, object], pat_ls: Iterable[str], inline_constants: bool) -> Graph:
    """Put tasks whose names match into those that use them.

    Parameters
    ----------
    dsk : mapping
        Graph of dask, of task objects or of plain tuples; it stays as it is.
    pat_ls : iterable of str
        Regular expressions, searched in the names of tasks. Constants that match are inlined, too.
    inline_constants : bool
        Whether to inline all other constants as well.

    Returns
    -------
    dict
        The new graph of task objects. Inlined tasks are no longer in it, except those that no other task uses.

    Examples
    --------
    >>> from operator import add
    >>> sorted(inline_pattern({"load": (add, 1, 2), "sum": (add, "load", 3)}, ["load"], False))
    ['sum']
    """
    graph: Graph = convert_legacy_graph(dict(dsk))
    chosen = matching(pat_ls, graph)
    if inline_constants:
        chosen |= {key for key, node in graph.items() if isinstance(node, DataNode)}
    used = {key for node in graph.values() for key in node.dependencies}
    return inline_keys(graph, chosen & used)


def inline_keys(graph: Graph, chosen: Collection[Key], keep: Collection[Key] = ()) -> Graph:
    """Put the chosen tasks into those that use them, and drop them, except those to keep."""
    order = TopologicalSorter({key: [d for d in node.dependencies if d in graph] for key, node in graph.items()})
    inlined: dict[Key, Key | GraphNode] = {}
    result: Graph = {}
    for key in order.static_order():
        node = graph[key]
        inner: dict[Key, Key | GraphNode] = {each: inlined[each] for each in node.dependencies if each in inlined}
        if inner and isinstance(node, Alias):
            source = inlined[node.target]
            node = source.substitute({}, key=key) if isinstance(source, GraphNode) else node
        elif inner:
            node = node.substitute(inner, key=key)
        if key in chosen:
            inlined[key] = node
        if key not in chosen or key in keep:
            result[key] = node
    return result


def fuse_chains(graph: Graph, wanted: Collection[Key], keep: Collection[Key]) -> Graph:
    """Fuse chains of tasks, each of which alone uses the one before; tasks to keep stay alone."""
    users = Counter(each for node in graph.values() for each in node.dependencies)
    before: dict[Key, Key] = {}
    for key, node in graph.items():
        source = next(iter(node.dependencies)) if len(node.dependencies) == 1 else None
        if source is None or source not in graph or users[source] != 1 or source in wanted or source == key:
            continue
        if not (key in keep or source in keep or node.block_fusion or graph[source].block_fusion):
            before[key] = source
    absorbed = set(before.values())
    result: Graph = {}
    for key in graph.keys() - absorbed:
        chain = [key]
        while chain[0] in before:
            chain.insert(0, before[chain[0]])
        _add_fused(result, graph, chain)
    return result


def _add_fused(result: Graph, graph: Graph, chain: list[Key]) -> None:
    last = chain[-1]
    if len(chain) == 1:
        result[last] = graph[last]
        return
    named = all(name_of(key) is not None for key in chain)
    new = custom_fused_keys_renamer(chain) if named else last
    if new in graph or new in result:
        new = last  # the name is taken, as two cut ones may be alike
    result[new] = Task.fuse(*(graph[key] for key in chain), key=new)
    if new != last:
        result[last] = Alias(last, new)


def rename_keys(graph: Graph, rewriting: Mapping[str, str] | None, wanted: Collection[Key]) -> Graph:
    """Give tasks new names; the wanted keys stay as aliases. A new name that is taken, or not unique, is not given."""
    if not rewriting:
        return graph
    proposed = {key: rewrite_key(key, rewriting) for key in graph if name_of(key) is not None}
    times = Counter(proposed.values())
    external = {each for node in graph.values() for each in node.dependencies}
    new = {
        key: name
        for key, name in proposed.items()
        if name != key and times[name] == 1 and name not in graph and name not in external
    }
    result: Graph = {}
    for key, node in graph.items():
        result[new.get(key, key)] = _renamed(node, new, new.get(key, key))
        if key in new and key in wanted:
            result[key] = Alias(key, new[key])
    return result


def _renamed(node: GraphNode, new: Mapping[Key, Key], key: Key) -> GraphNode:
    if isinstance(node, Alias):
        return Alias(key, new.get(node.target, node.target))
    sources: dict[Key, Key | GraphNode] = {each: new[each] for each in node.dependencies if each in new}
    return node.substitute(sources, key=key)
