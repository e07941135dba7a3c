"""Limits how many tasks run at once on each worker of dask."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Self

from tilecore.errors import ParameterError, ParameterTypeError
from tilecore.extras import need
from tilecore.throttling.annotations import Annotation
from tilecore.throttling.plugin import TaskAnnotation, declared, missing_resources

need("throttling", "dask", "dask.array", "distributed")

from distributed import Client  # noqa: E402
from distributed.deploy.cluster import Cluster  # noqa: E402

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Throttle", "throttle"]


def throttle(
    client: Client | Cluster | str,
    patterns: str | Iterable[str] | Mapping[str, Annotation],
    *,
    resources: Mapping[str, float] | None = None,
    priority: float | None = None,
) -> Throttle:
    """Let only so many tasks of these names run at once as the workers' resources allow.

    A worker that is started with ``resources={"MEM": 1}`` runs one task at a time that needs ``{"MEM": 1}``, beside
    any number of others. Tasks that are sent from now on are throttled, also inside fused ones.

    Parameters
    ----------
    client : distributed.Client, cluster or str
        The client, its cluster, or the address of a scheduler.
    patterns : str, iterable of str, or mapping
        Regular expressions, searched in the names of tasks: all need `resources`. Or the needs by pattern:
        ``{"load": {"resources": {"MEM": 1}, "priority": 2}}``.
    resources : mapping of str to float, optional
        Amounts that a task takes while it runs; by default ``{"MEM": 1}`` unless `priority` is given.
    priority : float, optional
        Tasks with a higher one run first.

    Returns
    -------
    Throttle
        It has ``close()``, and ends with a ``with`` block. Otherwise it lasts as long as the scheduler.

    Raises
    ------
    ParameterError
        If no worker declares enough of a resource, so that tasks would wait for ever; the message tells what each
        worker declares. While there are no workers yet, nothing is checked.
    ParameterTypeError
        If the client is asynchronous, or none at all.
    MissingDependencyError
        If dask or distributed is missing.

    Examples
    --------
    >>> import dask.array as da
    >>> from distributed import Client
    >>> with Client(processes=False, n_workers=1, resources={"MEM": 1}, dashboard_address=":0") as client:
    ...     with throttle(client, "ones"):
    ...         print(int(da.ones((4, 4), chunks=2).sum().compute()))
    16
    """
    annotations = _annotations(patterns, resources, priority)
    if not isinstance(client, (Client, Cluster, str)):
        raise ParameterTypeError.of("client", client, "must be a client or cluster of dask, or a scheduler's address")
    owned = not isinstance(client, Client)
    used = client if isinstance(client, Client) else Client(client, set_as_default=False)
    try:
        if used.asynchronous:
            remedy = "must not be asynchronous; instead: await client.register_plugin(TaskAnnotation({pattern: needs}))"
            raise ParameterTypeError.of("client", client, remedy)
        _check(used, annotations)
        return Throttle(used, annotations, owned)
    except BaseException:
        if owned:
            used.close()
        raise


class Throttle:
    """A throttle in force; `throttle` makes it."""

    def __init__(self, client: Client, annotations: Mapping[str, Annotation], owned: bool) -> None:
        self.annotations = annotations
        self._client: Client | None = client
        self._owned = owned
        self._name = f"tilecore-throttle-{uuid.uuid4().hex}"
        client.register_plugin(TaskAnnotation(annotations), name=self._name)

    def close(self) -> None:
        """End it: tasks that are sent from now on are not throttled. A second call does nothing."""
        client, self._client = self._client, None
        if client is None:
            return
        if client.status == "running":
            client.unregister_scheduler_plugin(self._name)
        if self._owned:
            client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _annotations(
    patterns: str | Iterable[str] | Mapping[str, Annotation],
    resources: Mapping[str, float] | None,
    priority: float | None,
) -> dict[str, Annotation]:
    if isinstance(patterns, Mapping):
        if resources is not None or priority is not None:
            raise ParameterError("resources and priority stand in the mapping of patterns, or beside a list of them")
        for pattern, needs in patterns.items():
            if not needs or set(needs) - {"resources", "priority"}:
                raise ParameterError.of(f"patterns[{pattern!r}]", needs, "may have 'resources' and 'priority'")
        return dict(patterns)
    needs = {}
    if resources is not None or priority is None:
        needs["resources"] = dict(resources or {"MEM": 1})
    common: Annotation = needs if priority is None else {**needs, "priority": priority}
    return dict.fromkeys([patterns] if isinstance(patterns, str) else patterns, common)


def _check(client: Client, annotations: Mapping[str, Annotation]) -> None:
    workers = {
        address: dict(worker.get("resources") or {})
        for address, worker in client.scheduler_info(n_workers=-1)["workers"].items()
    }
    for pattern, needs in annotations.items():
        wanted = needs.get("resources")
        if workers and isinstance(wanted, Mapping) and (missing := missing_resources(workers, wanted)):
            raise ParameterError(
                f"tasks of {pattern!r} would wait for ever: no worker has {missing}; {declared(workers)}. "
                f"Start workers with resources={dict(wanted)}"
            )
