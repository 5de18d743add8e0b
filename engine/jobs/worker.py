"""The worker: takes queued experiments, oldest first, and stays warm for a while."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psutil
from filelock import FileLock, Timeout

from db import pacing, reads, writes
from engine.config import ConfigError, ExperimentConfig
from engine.jobs.door import execution
from engine.jobs.prefetch import Prefetcher, prefetch_next
from engine.paths import home
from engine.system.faults import RunFailed
from engine.system.out_of_memory import advice, is_out_of_memory
from engine.system.processes import host

if TYPE_CHECKING:
    from engine.fl.run_config import RunConfig

log = logging.getLogger(__name__)
_SAMPLE_SECONDS = 1.0
_POLL_SECONDS = 0.25
_LOOK_SECONDS = 0.2  # how old what people have asked may be, seen from a step of training
_HANDOVER_SECONDS = 10  # how long a new worker waits for one that is just leaving


class Registration:
    """This process as a row of ``workers``; also notes its peak memory."""

    def __init__(self, takes_queue: bool) -> None:
        self.takes_queue = takes_queue
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
        if runs := writes.claim_next(worker.id):
            if "failed" in execute(runs, worker):
                preparing = Prefetcher()  # what is half made would keep its model in memory
        elif not preparing.step():
            time.sleep(_POLL_SECONDS)
            continue
        idle_since = time.monotonic()


def execute(runs: Sequence[int], worker: Registration) -> list[str]:
    """Run the runs of one experiment together, to their ends or to a pause; return their statuses.

    A fault marks the run failed that it is in, with the reason, and the others go on. Where memory
    ran out, the reason is what to change, and in the end the model and its data are let go.
    """
    started = [run for run in runs if writes.start_run(run)]  # else stopped, or another's by now
    if started:
        worker.peak_rss_mb = 0.0
        _Execution(started, worker).go()
    return [reads.run(run).status for run in runs]


class _Execution:
    """Runs of one experiment at work in this process: what they are told, how they end.

    It has the methods of ``engine.fl.runtimes.meeting.Orders``.
    """

    def __init__(self, runs: Sequence[int], worker: Registration) -> None:
        self._runs = [reads.run(run) for run in runs]
        self._experiment = self._runs[0].experiment
        self._worker = worker
        self._begun = dict.fromkeys(runs, time.perf_counter())  # of runs that are not over
        self._is_full = False  # whether memory ran out
        self._look()

    def go(self) -> None:
        """Train; every run that is not over then has been paused."""
        self._torch_side = execution()
        try:
            self._torch_side.train(self._runs, self)
        except Exception as fault:  # of what all runs need: the model, the data
            log.exception("runs %s failed", list(self._begun))
            for run in list(self._begun):
                self.ended(run, fault)
        except BaseException:
            for run in list(self._begun):
                self._end(run, "interrupted")
            raise
        if self._begun:
            seconds = {run: self._seconds(run) for run in self._begun}
            keeps = not self._worker.takes_queue
            pacing.leave_paused(self._experiment.id, seconds, keeps_worker=keeps)
        if self._is_full:  # only now is the fault gone, which holds on to what was being computed
            self._torch_side.release()

    def may_train(self, round_: int) -> bool:
        """Tell whether a round may begin."""
        limit = self._look().round_limit
        return limit is None or round_ <= limit

    def is_stopped(self, run: int) -> bool:
        """Tell whether somebody has asked for a run to stop; asked again and again."""
        return run in self._recent_orders().stopped

    def newcomers(self) -> list[RunConfig]:
        """Return runs of this experiment that somebody has resumed meanwhile."""
        if not self._recent_orders().queued:
            return []
        ready = []
        for run in writes.claim_more(self._worker.id, self._experiment.id):
            if not writes.start_run(run):
                continue
            self._begun[run] = time.perf_counter()
            try:
                ready.append(self._torch_side.prepared(reads.run(run)))
            except Exception as fault:  # it ends this run alone
                log.exception("run %d failed", run)
                self.ended(run, fault)
        return ready

    def ended(self, run: int, fault: Exception | None) -> None:
        """Note how a run has ended."""
        if fault is None:
            stored = reads.run(run)
            return self._end(run, "done" if stored.rounds_done == stored.rounds else "stopped")
        told = isinstance(fault, (ConfigError, RunFailed))  # it is one sentence already
        error = str(fault) if told else f"{type(fault).__name__}: {fault}"
        if is_out_of_memory(fault):
            self._is_full = True
            error = advice(ExperimentConfig.parse(self._experiment.config))
        return self._end(run, "failed", error)

    def _end(self, run: int, status: str, error: str | None = None) -> None:
        seconds = self._seconds(run)
        del self._begun[run]
        self._worker.note_memory()
        peak = round(self._worker.peak_rss_mb, 1)
        writes.end_run(run, status, error=error, wall_seconds=seconds, peak_rss_mb=peak)

    def _seconds(self, run: int) -> float:
        return time.perf_counter() - self._begun[run]

    def _look(self) -> pacing.Orders:
        self._orders, self._looked = pacing.orders(self._experiment.id), time.monotonic()
        return self._orders

    def _recent_orders(self) -> pacing.Orders:
        return self._look() if time.monotonic() - self._looked > _LOOK_SECONDS else self._orders
