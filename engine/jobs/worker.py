"""The worker: takes queued runs one at a time, oldest first, and stays warm for a while."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
from filelock import FileLock, Timeout

from db import reads, writes
from engine.config import ConfigError, ExperimentConfig
from engine.jobs.door import execution
from engine.jobs.prefetch import Prefetcher, prefetch_next
from engine.paths import home
from engine.system.faults import RunFailed
from engine.system.out_of_memory import advice, is_out_of_memory
from engine.system.processes import host

log = logging.getLogger(__name__)
_SAMPLE_SECONDS = 1.0
_POLL_SECONDS = 0.25
_HANDOVER_SECONDS = 10  # how long a new worker waits for one that is just leaving


class Registration:
    """This process as a row of ``workers``; also notes its peak memory."""

    def __init__(self, takes_queue: bool) -> None:
        self.process = psutil.Process(os.getpid())
        started = self.process.create_time()
        self.id = writes.add_worker(self.process.pid, started, takes_queue, host())
        self.peak_rss_mb = 0.0
        self._leave = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def leave(self) -> None:
        """Forget the row; what this process has begun and not ended is interrupted."""
        self._leave.set()
        self._thread.join()
        writes.remove_workers([row for row in reads.workers() if row.id == self.id])

    def note_memory(self) -> None:
        """Update the peak of the resident memory."""
        self.peak_rss_mb = max(self.peak_rss_mb, self.process.memory_info().rss / 2**20)

    def _sample(self) -> None:
        while not self._leave.wait(_SAMPLE_SECONDS):
            self.note_memory()


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

    Return False at once when another worker serves this FEDVLM_HOME.
    """
    while True:
        with registered(takes_queue=True) as worker:
            try:
                lock = FileLock(home() / "worker.lock").acquire(timeout=_HANDOVER_SECONDS)
            except Timeout:
                return False
            with lock:
                prefetch_next()
                execution()  # imported now, the first run does not wait for it
                _drain(worker, idle_seconds)
        # A run that was queued while this worker said goodbye has started no other one.
        if reads.next_queued() is None:
            return True


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
    """Run one run to its end; return its status. A fault marks the run failed, with the reason.

    Where memory ran out, the reason is what to change, and the model and its data are let go.
    """
    if not writes.start_run(run_id):  # stopped, or another's by now
        return reads.run(run_id).status
    start = time.perf_counter()
    worker.peak_rss_mb = 0.0
    status, error, full = "failed", None, False
    run = reads.run(run_id)
    try:
        execution().train(run)
        run = reads.run(run_id)
        status = "done" if run.rounds_done == run.rounds else "stopped"
    except Exception as fault:
        log.exception("run %d failed", run_id)
        told = isinstance(fault, (ConfigError, RunFailed))  # it is one sentence already
        error = str(fault) if told else f"{type(fault).__name__}: {fault}"
        if full := is_out_of_memory(fault):
            error = advice(ExperimentConfig.parse(run.experiment.config))
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
        execution().release()
    return status
