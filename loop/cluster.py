"""Who runs the tiles when one process is not enough? Workers of dask.distributed, on this machine or on others.

    driving job ── plan, tile ──►  worker   reads the image, computes, writes the voxels: whole chunks
    writes the bins, records  ◄── bins ──

The driving job alone knows which tiles are done. What a lost worker had, finished or not, is computed again by another
and comes out the same, so nothing is lost and nothing is recorded twice. The bins come back with the answer, a few
kilobytes a tile, instead of being written by the workers: rows of several tiles share a page of bins.npy, and a network
file system writes whole pages, so that machines would take back each other's rows. Where several tiles share a file of
voxels (store/shards.py), tensorstore locks it while it is written anew.
"""

import asyncio
import functools
import logging
import math
import os
import pickle  # of what goes to workers, which dask pickles too
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Any

import dask.config
from distributed import Client, Future, KilledWorker, Nanny, Scheduler, SpecCluster
from distributed.core import RPCClosed, rpc
from distributed.security import Security

from ..store.box import Tile
from ..store.errors import Cancelled, RondelError, UsageError
from ..store.settings import PredictTable
from .engine import Answer, Plan, Record, Steps
from .memory import machine
from .report import Report

AHEAD = 2
"""Tiles a worker has at a time: it computes one and reads the other."""
POLL_SECONDS = 0.25
"""Between two looks at what workers and the user did, which nobody tells."""
CONNECT_SECONDS = 5.0
GATHER_SECONDS = 5.0
LOCAL = "127.0.0.1"
PATIENCE_SECONDS = 300.0
CONFIG = {
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    # A nanny brings its worker back; dask would end one whose worker is away twice, this long from each other.
    "distributed.deploy.lost-worker-timeout": "1000 days",
}
"""How workers on this machine differ from dask's habits."""


@contextmanager
def connected(workers: int | None, scheduler: str | None, settings: PredictTable, report: Report) -> Iterator["Dask"]:
    """Start so many workers on this machine, or find a scheduler and wait for its first worker.

    Raises UsageError when no scheduler answers, or when there are fewer GPUs than workers to use them.
    """
    report("find workers", 0, 1, "workers")
    with _local(workers, settings) if workers else _remote(scheduler or "") as client:
        while not (found := _workers(client)):
            report("find workers", 0, 1, "workers")  # ends the wait when the job is cancelled; dask's own cannot be
            time.sleep(POLL_SECONDS)  # between two looks, so that a cancelled job ends
        threads = _share(workers) if workers else min(worker["nthreads"] for worker in found)
        patience = PATIENCE_SECONDS if workers else math.inf  # elsewhere workers may wait in a queue for hours
        limits = [machine() / workers] if workers else [worker["memory_limit"] or machine() for worker in found]
        gpus = any(_gpus(worker) for worker in found)
        yield Dask(client, settings.threads or threads, min(limits), gpus, patience)


@dataclass(frozen=True, slots=True)
class Dask:
    """An engine whose steps are taken by the workers of a cluster, as many as there are at the time."""

    client: Client
    threads: int
    """Threads of one worker's computation."""
    memory: float
    """Bytes of one worker's share of its machine."""
    gpus: bool = False
    """Whether there are workers that say they have GPUs; then only these get tiles, each one tile a GPU."""
    patience: float = math.inf
    """Seconds without any worker after which the run ends."""

    @property
    def workers(self) -> int:
        return sum(_gpus(worker) > 0 or not self.gpus for worker in _workers(self.client))

    def run(self, tiles: Iterable[Tile], plan: Plan, record: Record, cancelled: Callable[[], bool]) -> None:
        waiting, flight, seen = iter(tiles), _Flight(self, plan, record), time.monotonic()
        try:
            while True:
                workers = self.workers
                seen = time.monotonic() if workers else seen
                if time.monotonic() - seen > self.patience:
                    raise RondelError("all workers are gone and none comes back", "the job's log says what ended them")
                room = AHEAD * max(workers, 1) - len(flight.tiles)
                for tile in islice(waiting, max(room, 0)):
                    flight.start(tile)
                if not flight.tiles:
                    return
                if cancelled():
                    raise Cancelled("stopped between tiles", "run it again to go on")
                flight.land()
        except Exception:  # whatever ended the run, no worker may write after it
            flight.settle()
            raise


@dataclass(frozen=True, slots=True)
class _Flight:
    """The tiles that workers have, or that wait for one."""

    engine: Dask
    plan: Plan
    record: Record
    tiles: dict[Future, Tile] = field(default_factory=dict)
    ended: SimpleQueue[Future] = field(default_factory=SimpleQueue)

    def start(self, tile: Tile) -> None:
        needs = {"GPU": 1} if self.engine.gpus else None
        call = pickle.dumps((compute_tile, self.plan, tile))
        future = self.engine.client.submit(_caller(), call, pure=False, resources=needs)
        self.tiles[future] = tile
        future.add_done_callback(self.ended.put)

    def land(self) -> bool:
        """Record a tile that has ended, waiting a little for one; returns whether there was one, raises its error."""
        try:
            future = self.ended.get(timeout=POLL_SECONDS)
        except Empty:
            return False
        tile = self.tiles.pop(future)
        try:
            answer = future.result(timeout=GATHER_SECONDS)
        except TimeoutError:
            if future.status == "error":
                raise
            self.tiles[future] = tile  # its worker was lost with the answer: it is computed again
            future.add_done_callback(self.ended.put)
        except (CancelledError, KilledWorker, ImportError, AttributeError) as error:
            raise _named(error, tile, self.engine.client) from error
        else:
            self.record(tile, answer)
        return True

    def settle(self) -> None:
        """Let workers end what they are at, so that none writes when the run is over; the rest is withdrawn."""
        while self.tiles:
            with suppress(Exception):  # the run has failed already, and says with what
                if not self.land():
                    self._withdraw()

    def _withdraw(self) -> None:
        processing: Any = self.engine.client.processing()
        held = {key for keys in processing.values() for key in keys}
        self.engine.client.cancel([f for f in self.tiles if f.key not in held and not f.done()])


def _caller() -> Callable[[bytes], Any]:
    """Make a function that dask sends by value, being no module's.

    One that a worker had to import would, where that fails, take the worker out of the cluster without a word.
    """

    def compute(call: bytes) -> Any:
        # Dask pickles too: whoever reaches a worker can run programs in it anyway.
        function, *arguments = pickle.loads(call)  # noqa: S301
        return function(*arguments)

    return compute


_OPENING, _COMPUTING = threading.Lock(), threading.Lock()


def compute_tile(plan: Plan, tile: Tile) -> Answer:
    """Compute one tile in a worker, which reads and writes while it computes another."""
    with _OPENING:
        steps = _opened(plan)
    image = steps.read(tile)
    with _COMPUTING:
        write = steps.compute(tile, image)
    return write()


@functools.lru_cache(maxsize=1)
def _opened(plan: Plan) -> Steps:
    """Keep what the last plan opened, the network above all, for the tiles to come."""
    return plan.open()


@contextmanager
def _local(workers: int, settings: PredictTable) -> Iterator[Client]:
    """Start workers that nobody else can reach: whoever reaches a worker can run programs in it."""
    security = Security.temporary()
    common = {"host": LOCAL, "protocol": "tls://", "security": security, "dashboard_address": f"{LOCAL}:0"}
    common |= {"dashboard": False}
    # What a tile takes is [predict] memory_gb; dask's own limit would kill workers by a guess.
    options = {**common, "nthreads": AHEAD, "memory_limit": 0, "silence_logs": logging.WARNING}
    specs = {
        number: {"cls": Nanny, "options": {**options, "env": environment}}
        for number, environment in enumerate(_environments(workers, settings))
    }
    scheduler = {"cls": Scheduler, "options": {**common, "port": 0}}
    with (
        dask.config.set(CONFIG),
        SpecCluster(specs, scheduler, security=security) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def _environments(workers: int, settings: PredictTable) -> list[dict[str, str]]:
    """Give each worker a GPU of its own, where there are any and they are wanted."""
    import torch

    if settings.device == "cpu" or not torch.cuda.is_available():
        return [{} for _ in range(workers)]
    count = torch.cuda.device_count()
    if workers > count:
        raise UsageError(f"{workers} workers want GPUs, this machine has {count}", f"use --workers {count} or fewer")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    names = visible if len(visible) == count else [str(number) for number in range(count)]
    return [{"CUDA_VISIBLE_DEVICES": name} for name in names[:workers]]


def _share(workers: int) -> int:
    """Return how many threads each of so many workers takes, so that they share the cores."""
    from .device import cores  # loads torch, which an address that does not answer should not wait for

    return max(cores() // workers, 1)


@contextmanager
def _remote(address: str) -> Iterator[Client]:
    try:
        asyncio.run(asyncio.wait_for(_ask(address), CONNECT_SECONDS))
    except (OSError, ValueError, TypeError, MemoryError, RPCClosed) as error:  # some of them from what is no scheduler
        why = str(error) or f"nothing within {CONNECT_SECONDS:.0f} s"
        why = "what is there speaks otherwise" if isinstance(error, MemoryError) else why
        raise UsageError(f"no scheduler answers at {address}: {why}", "see that it runs, and its address") from error
    with Client(address, timeout=CONNECT_SECONDS, set_as_default=False) as client:
        yield client


async def _ask(address: str) -> None:
    """See that a scheduler answers, before there is a client: one that never reached its scheduler is slow to end."""
    arguments = Security().get_connection_args("client")
    async with rpc(address, timeout=CONNECT_SECONDS, connection_args=arguments) as scheduler:
        found: Any = await scheduler.identity(n_workers=0)
    if found["type"] != "Scheduler":
        raise ValueError(f"there is a {found['type']}")


def _workers(client: Client) -> list[dict[str, Any]]:
    try:
        return list(client.scheduler_info(n_workers=-1)["workers"].values())
    except OSError as error:
        raise _gone(client) from error


def _gpus(worker: dict[str, Any]) -> float:
    return worker.get("resources", {}).get("GPU", 0)


def _named(error: Exception, tile: Tile, client: Client) -> RondelError:
    """Say in one line what became of a tile that no worker answered for."""
    if isinstance(error, KilledWorker):
        deaths = error.allowed_failures + 1
        return RondelError(f"{deaths} workers died over tile {tile.write}", "lower [predict] memory_gb; see their logs")
    if isinstance(error, (ImportError, AttributeError)):
        return RondelError(f"a worker has another rondel, or none: {error}", "install the same one for every worker")
    return _gone(client)


def _gone(client: Client) -> RondelError:
    place = client.scheduler.address if client.scheduler else "its address"
    return RondelError(f"the scheduler at {place} is gone", "start one, and run the verb again: it goes on")
