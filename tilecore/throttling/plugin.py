"""Plugin of dask's scheduler: it gives tasks their needs by the names in them."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from tilecore.extras import need
from tilecore.throttling.annotations import ANNOTATIONS, Annotation
from tilecore.throttling.names import name_of

need("throttling", "dask", "dask.array", "distributed")

from dask._task_spec import Alias, DataNode, GraphNode  # noqa: E402
from distributed.diagnostics.plugin import SchedulerPlugin  # noqa: E402

if TYPE_CHECKING:
    from dask.typing import Key
    from distributed.scheduler import Scheduler, TaskState

__all__ = ["TaskAnnotation", "declared", "missing_resources"]

logger = logging.getLogger(__name__)


class TaskAnnotation(SchedulerPlugin):
    """Give tasks the resources and priorities that stand beside patterns of their names.

    A task that holds others (by fusion, or inlined) has the largest need of any name in it. Needs that it has already,
    as of ``dask.annotate``, stay where they are larger; so a plugin that is added twice does no harm.

    Parameters
    ----------
    annotations : mapping, optional
        Needs by pattern: ``{"load": {"resources": {"MEM": 1}, "priority": 2}}``. By default `ANNOTATIONS` itself, so
        that names which are added to it later count. ``Client.register_plugin`` sends a copy, however.

    Attributes
    ----------
    annt_dict : mapping
        The annotations.

    Notes
    -----
    Tasks that need more than any worker declares wait. The scheduler's log says so, and clients get a warning.

    It runs in the scheduler's event loop, and is to be used by one scheduler.
    """

    def __init__(self, annotations: Mapping[str, Annotation] | None = None) -> None:
        self.annt_dict = ANNOTATIONS if annotations is None else annotations

    def update_graph(self, scheduler: Scheduler, client: str, tasks: Iterable[Key], **kwargs: object) -> None:
        """Annotate the tasks of a new graph; the scheduler calls it before any of them runs.

        Parameters
        ----------
        scheduler : distributed.Scheduler
            The scheduler.
        client : str
            Id of the client that sent the graph; not used.
        tasks : iterable of keys
            Keys of the tasks.
        **kwargs
            Whatever else the scheduler tells; not used.
        """
        workers = scheduler_resources(scheduler)
        missing: dict[str, float] = {}
        waiting: list[str] = []
        for key in tasks:
            task = scheduler.tasks.get(key)
            if task is None or task.state not in ("released", "waiting"):
                continue  # a running task gives back what it took: its needs must not change
            resources, priority = self._needs(task)
            if resources:
                own = task.resource_restrictions or {}
                task.resource_restrictions = _larger(own, resources)
                lacking = missing_resources(workers, resources)
                missing = _larger(missing, lacking)
                waiting += [name_of(key) or str(key)] if lacking else []
            if priority is not None and task.priority:
                task.priority = (-priority, *task.priority[1:])
        if missing and workers:
            text = (
                f"tasks such as {waiting[0]!r} wait, {len(waiting)} in all: no worker has {missing}; "
                f"{declared(workers)}. Start workers with resources={missing}"
            )
            logger.warning(text)
            scheduler.log_event("warn", text)  # clients show it

    def _needs(self, task: TaskState) -> tuple[dict[str, float], float | None]:
        resources: dict[str, float] = {}
        priorities: list[float] = []
        if isinstance(task.run_spec, (Alias, DataNode)):
            return resources, None  # it holds no memory of its own
        names = {name for key in (task.key, *_keys_in(task.run_spec)) if (name := name_of(key)) is not None}
        for pattern, needs in list(self.annt_dict.items()):
            if any(re.search(pattern, name) for name in names):
                wanted, priority = needs.get("resources"), needs.get("priority")
                if isinstance(wanted, Mapping):
                    resources = _larger(resources, wanted)
                if isinstance(priority, (int, float)):
                    priorities.append(priority)
        return resources, max(priorities, default=None)


def scheduler_resources(scheduler: Scheduler) -> dict[str, dict[str, float]]:
    """What each worker declares, by its address."""
    return {address: dict(worker.resources) for address, worker in scheduler.workers.items()}


def missing_resources(workers: Mapping[str, Mapping[str, float]], needs: Mapping[str, float]) -> dict[str, float]:
    """Needs that no worker can meet: all of them if none has them together."""
    if any(all(has.get(name, 0) >= amount for name, amount in needs.items()) for has in workers.values()):
        return {}
    alone = {
        name: amount for name, amount in needs.items() if all(has.get(name, 0) < amount for has in workers.values())
    }
    return alone or dict(needs)


def declared(workers: Mapping[str, Mapping[str, float]]) -> str:
    """Tell in words what each worker declares."""
    lines = [f"worker {address} declares {dict(has) or 'nothing'}" for address, has in workers.items()]
    return "; ".join(lines) or "there is no worker"


def _larger(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    return {name: max(one.get(name, 0), other.get(name, 0)) for name in {**one, **other}}


def _keys_in(value: object) -> Iterator[Key]:
    """Keys of all tasks inside a task's definition."""
    if isinstance(value, (Alias, DataNode)):
        return
    if isinstance(value, GraphNode):
        if value.key is not None:
            yield value.key
        for inner in (*getattr(value, "args", ()), *getattr(value, "kwargs", {}).values()):
            yield from _keys_in(inner)
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _keys_in(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _keys_in(inner)
