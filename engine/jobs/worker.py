"""The worker: takes queued runs one at a time, oldest first, and stays warm for a while."""

from __future__ import annotations

import gc
import importlib
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
from filelock import FileLock, Timeout

from db import reads, writes
from db.tables import Run
from engine.config import ConfigError, ExperimentConfig
from engine.jobs.prefetch import Prefetcher, prefetch_next
from engine.paths import home, run_folder
from engine.system.out_of_memory import advice, is_out_of_memory

log = logging.getLogger(__name__)
HEARTBEAT_SECONDS = 1.0
_POLL_SECONDS = 0.25
_HANDOVER_SECONDS = 10  # how long a new worker waits for one that is just leaving


class Registration:
    """This process as a row of ``workers``, with a heartbeat; also notes its peak memory."""

    def __init__(self, takes_queue: bool) -> None:
        self.process = psutil.Process(os.getpid())
        self.id = writes.add_worker(self.process.pid, self.process.create_time(), takes_queue)
        self.peak_rss_mb = 0.0
        self._leave = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    def leave(self) -> None:
        """Stop the heartbeat and forget the row."""
        self._leave.set()
        self._thread.join()
        writes.remove_worker(self.id)

    def note_memory(self) -> None:
        """Update the peak of the resident memory."""
        self.peak_rss_mb = max(self.peak_rss_mb, self.process.memory_info().rss / 2**20)

    def _beat(self) -> None:
        while not self._leave.wait(HEARTBEAT_SECONDS):
            self.note_memory()
            writes.beat(self.id)


@contextmanager
def registered(takes_queue: bool) -> Iterator[Registration]:
    """Be a worker for as long as the block lasts."""
    registration = Registration(takes_queue)
    try:
        yield registration
    finally:
        registration.leave()


def serve(idle_seconds: float) -> bool:
    """Take runs from the queue until there was none for ``idle_seconds``.

    Returns False at once when another worker serves this FEDVLM_HOME.
    """
    try:
        lock = FileLock(home() / "worker.lock").acquire(timeout=_HANDOVER_SECONDS)
    except Timeout:
        return False
    with lock:
        while True:
            with registered(takes_queue=True) as worker:
                prefetch_next()
                warm_up()
                _drain(worker, idle_seconds)
            # A run that was queued while this worker said goodbye has started no other one.
            if reads.next_queued() is None:
                return True


def warm_up() -> None:
    """Import what a run needs, so that the first one does not wait for it.

    The garbage collector is kept from what is imported: it would go through all of it, in vain,
    again and again now and once more when the process ends. That takes more than a second.
    """
    if "engine.fl.runtimes.local" in sys.modules:
        return
    gc.disable()
    try:
        importlib.import_module("engine.fl.runtimes.local")
    finally:
        gc.enable()
    gc.freeze()


def _drain(worker: Registration, idle_seconds: float) -> None:
    preparing = Prefetcher()
    idle_since = time.monotonic()
    while time.monotonic() - idle_since < idle_seconds:
        run_id = writes.claim_next(worker.id)
        if run_id is not None:
            if execute(run_id, worker) == "failed":
                preparing = Prefetcher()  # what is half made would keep its model in memory
        elif not preparing.step():
            time.sleep(_POLL_SECONDS)
            continue
        idle_since = time.monotonic()


def execute(run_id: int, worker: Registration) -> str:
    """Run one run to its end; returns its status. A fault marks the run failed, with the reason.

    Where memory ran out, the reason is what to change, and the model and its data are let go.
    """
    start = time.perf_counter()
    worker.peak_rss_mb = 0.0
    status, error, full = "failed", None, False
    run = reads.run(run_id)
    try:
        _train(run)
        run = reads.run(run_id)
        status = "done" if run.rounds_done == run.rounds else "stopped"
    except Exception as fault:
        log.exception("run %d failed", run_id)
        mistake = isinstance(fault, ConfigError)  # it is one sentence already
        error = str(fault) if mistake else f"{type(fault).__name__}: {fault}"
        if full := is_out_of_memory(fault):
            error = advice(ExperimentConfig.model_validate(run.experiment.config))
    except KeyboardInterrupt:
        status = "interrupted"
        raise
    finally:
        worker.note_memory()
        writes.end_run(
            run_id,
            status,
            error=error,
            wall_seconds=time.perf_counter() - start,
            peak_rss_mb=round(worker.peak_rss_mb, 1),
        )
    if full:  # only now is the fault gone, which holds on to what was being computed
        from engine.fl.context import release

        release()
    return status


def _train(run: Run) -> None:
    """Prepare what the apps need, then hand the run to its runtime."""
    from engine.fl.context import context_of
    from engine.fl.run_config import RunConfig
    from engine.fl.runtimes.local import execute as execute_on_runtime
    from engine.strategies import STRATEGIES

    config = ExperimentConfig.model_validate(run.experiment.config)
    strategy = STRATEGIES[run.strategy]
    factors = context_of(config).vlm.factors
    trainable = sum(p.numel() for name, p in factors.items() if strategy.is_trained(name))
    writes.start_run(run.id, (1 + strategy.two_adapters) * trainable)
    folder = run_folder(run.id)
    folder.mkdir(parents=True, exist_ok=True)
    execute_on_runtime(RunConfig(run.id, run.strategy, config.model_dump_json(), folder))
