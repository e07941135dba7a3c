"""Simulation of runs on clusters: batches on their way from the client by the scheduler to a worker, and back."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np

from tilecore.executors.dask.batch_length import BATCHES_AHEAD, BatchLength

# Batches after which the simulation has seen enough, for each worker and at least: the second half is counted.
_ROUNDS, _LEAST_BATCHES = 12, 20_000
# How much the time of a batch varies, of its mean.
_SPREAD = 0.2

Stage = Literal["sent", "begun", "computed", "done", "back", "taken"]


@dataclass(frozen=True)
class Costs:
    """What a run costs beside its function [s, of one core; byte].

    Attributes
    ----------
    start : float
        Before the first batch.
    client_batch, client_tile, scheduler_batch, worker_batch, worker_tile : float
        For each batch, and for each tile.
    scheduler_heartbeat : float
        For each message by which a worker says that it is there.
    bytes_batch, bytes_tile : float
        Sent between client, scheduler and worker.
    latency : float
        Time of a message.
    """

    start: float
    client_batch: float
    client_tile: float
    scheduler_batch: float
    scheduler_heartbeat: float
    worker_batch: float
    worker_tile: float
    bytes_batch: float = 0.0
    bytes_tile: float = 0.0
    latency: float = 5e-4


@dataclass(frozen=True)
class Workload:
    """A run.

    Attributes
    ----------
    n_workers, n_tiles : int
    tile_seconds : float
        Time of a tile on its worker, with reading and writing as fast as the worker can [s].
    tile_bytes : float
        What a tile reads from and writes to the storage.
    storage : float
        What the storage can do for all [byte/s].
    """

    n_workers: int
    n_tiles: int
    tile_seconds: float
    tile_bytes: float = 0.0
    storage: float = np.inf


@dataclass
class Server:
    """Something that does one thing at a time, in the order in which they come."""

    free: float = 0.0
    booked: float = 0.0

    def serve(self, now: float, seconds: float) -> float:
        """Do a thing that takes so long; return when it is done."""
        self.free = max(self.free, now) + seconds
        self.booked += seconds
        return self.free

    def busy(self, now: float) -> float:
        """For how long it has been busy until now."""
        return self.booked - max(self.free - now, 0.0)


class Prediction(NamedTuple):
    """What the simulation has found.

    Attributes
    ----------
    seconds : float
        Time of the run.
    batch : int
        Tiles of a batch, at the end.
    loads : dict
        Part of the time in which the client, the scheduler, a worker and the storage are busy.
    message_bytes, storage_bytes : float
        Sent between client, scheduler and workers; read from and written to the storage.
    """

    seconds: float
    batch: int
    loads: dict[str, float]
    message_bytes: float
    storage_bytes: float

    @property
    def bottleneck(self) -> str:
        """What is busy most."""
        return max(self.loads, key=self.loads.__getitem__)


@dataclass
class _Simulation:
    """Batches on their way from the client by the scheduler to a worker, and back."""

    costs: Costs
    work: Workload
    length: BatchLength = field(default_factory=BatchLength)
    client: Server = field(default_factory=Server)
    scheduler: Server = field(default_factory=Server)
    storage: Server = field(default_factory=Server)
    n_batches: int = 0
    n_sent: int = 0
    n_done: int = 0

    def __post_init__(self) -> None:
        self.workers = [Server() for _ in range(self.work.n_workers)]
        self.events: list[tuple[float, int, Stage, int, int]] = []
        self.random = np.random.default_rng(0)
        self.scheduler_batch = self.costs.scheduler_batch / max(1 - self.heartbeats, 1e-9)

    @property
    def heartbeats(self) -> float:
        """Part of the scheduler's time that goes into messages of workers that say they are there."""
        from distributed.scheduler import heartbeat_interval

        return self.work.n_workers * self.costs.scheduler_heartbeat / heartbeat_interval(self.work.n_workers)

    def send(self, now: float, worker: int) -> None:
        """Have the client send the next batch, if tiles are left."""
        n_tiles = min(self.length.n_tasks, self.work.n_tiles - self.n_sent)
        if n_tiles:
            self.n_sent += n_tiles
            self.n_batches += 1
            self.put(self.client.serve(now, self.costs.client_batch / 2), "sent", worker, n_tiles)

    def put(self, at: float, stage: Stage, worker: int, n_tiles: int) -> None:
        heapq.heappush(self.events, (at, len(self.events), stage, worker, n_tiles))

    def step(self) -> float:
        """Go to the next event; return its time."""
        now, _, stage, worker, n_tiles = heapq.heappop(self.events)
        if stage == "taken":
            self.n_done += n_tiles
            self.length.learn(n_tiles, n_tiles * self.work.tile_seconds, 0, self.work.n_workers)
            self.send(now, worker)
        else:
            server, seconds, then = self._next(stage, worker, n_tiles)
            self.put(
                server.serve(now, seconds) + (0 if then in ("computed", "taken") else self.costs.latency),
                then,
                worker,
                n_tiles,
            )
        return now

    def _next(self, stage: Stage, worker: int, n_tiles: int) -> tuple[Server, float, Stage]:
        """Who has a batch at a stage, for how long, and what comes then."""
        costs, work = self.costs, self.work
        if stage == "sent":
            return self.scheduler, self.scheduler_batch / 2, "begun"
        if stage == "begun":
            tile = costs.worker_tile + work.tile_seconds * max(self.random.normal(1, _SPREAD), 0.1)
            return self.workers[worker], costs.worker_batch + n_tiles * tile, "computed"
        if stage == "computed":
            return self.storage, n_tiles * work.tile_bytes / work.storage, "done"
        if stage == "done":
            return self.scheduler, self.scheduler_batch / 2, "back"
        return self.client, costs.client_batch / 2 + n_tiles * costs.client_tile, "taken"

    def busy(self, now: float) -> dict[str, float]:
        """For how long each has been busy until now."""
        alone = {"client": self.client, "scheduler": self.scheduler, "storage": self.storage}
        workers = sum(each.busy(now) for each in self.workers) / len(self.workers)
        return {**{name: server.busy(now) for name, server in alone.items()}, "workers": workers}


def simulate(costs: Costs, work: Workload) -> Prediction:
    """Predict a run: its beginning event by event, and the rest as the second half of that went."""
    run = _Simulation(costs, work)
    most = max(_LEAST_BATCHES, _ROUNDS * work.n_workers)
    for number in range(work.n_workers * BATCHES_AHEAD):
        run.send(0.0, number % work.n_workers)
    now, middle = 0.0, None
    while run.events and run.n_batches < most:
        now = run.step()
        if middle is None and (2 * run.n_batches >= most or 2 * run.n_done >= work.n_tiles):
            middle = now, run.n_done, run.busy(now)
    began, n_before, busy = middle or (0.0, 0, dict.fromkeys(run.busy(0.0), 0.0))
    seconds = now + (work.n_tiles - run.n_done) * (now - began) / max(run.n_done - n_before, 1)
    return Prediction(
        seconds=costs.start + seconds,
        batch=run.length.n_tasks,
        loads={name: (value - busy[name]) / max(now - began, 1e-9) for name, value in run.busy(now).items()},
        message_bytes=work.n_tiles * (costs.bytes_tile + costs.bytes_batch * run.n_batches / run.n_sent),
        storage_bytes=work.n_tiles * work.tile_bytes,
    )
