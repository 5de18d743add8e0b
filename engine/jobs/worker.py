"""The worker: takes queued experiments, oldest first, and stays warm for a while."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psutil
from filelock import FileLock, Timeout

from db import pacing, reads, writes
from engine.config import ConfigError, ExperimentConfig
from engine.jobs.door import execution
from engine.jobs.pacing import Evicted, Pacer
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
    """Run the runs of one experiment to their ends, together; return their statuses.

    A fault marks the run failed that it is in, with the reason, and the others go on. Where memory
    ran out, the reason is what to change, and in the end the model and its data are let go.
    """
    started = [run for run in runs if writes.start_run(run)]  # else stopped, or another's by now
    if started:
        worker.peak_rss_mb = 0.0
        _Execution(started, worker).go()
    return [reads.run(run).status for run in runs]


class _Execution:
    """Some runs of one experiment at work in this process."""

    def __init__(self, runs: list[int], worker: Registration) -> None:
        self._runs = [reads.run(run) for run in runs]
        self._open = set(runs)
        self._worker = worker
        self._start = time.perf_counter()
        self._full = False  # whether memory ran out

    def go(self) -> None:
        numbers = [run.id for run in self._runs]
        torch_side = execution()
        pacer = Pacer(
            self._runs[0].experiment_id,
            numbers,
            lambda run: meeting.stop(run),
            evicts=self._worker.takes_queue,
        )
        meeting = torch_side.Meeting(pacer.may_train)
        try:
            with pacer.watching():
                torch_side.train(self._runs, meeting, self._end, pacer.idle)
        except Evicted:
            pacing.leave_paused(sorted(self._open), self._seconds())
        except Exception as fault:  # of what all runs need: the model, the data, a pass
            log.exception("runs %s failed", numbers)
            for run in sorted(self._open):
                self._end(run, fault)
        except BaseException:
            for run in sorted(self._open):
                self._write_end(run, "interrupted")
            raise
        if self._full:  # only now is the fault gone, which holds on to what was being computed
            torch_side.release()

    def _end(self, run_id: int, fault: Exception | None) -> None:
        """Note how a run has ended."""
        if fault is None:
            run = reads.run(run_id)
            status = "done" if run.rounds_done == run.rounds else "stopped"
            return self._write_end(run_id, status)
        told = isinstance(fault, (ConfigError, RunFailed))  # it is one sentence already
        error = str(fault) if told else f"{type(fault).__name__}: {fault}"
        if is_out_of_memory(fault):
            self._full = True
            error = advice(ExperimentConfig.parse(self._runs[0].experiment.config))
        return self._write_end(run_id, "failed", error)

    def _write_end(self, run_id: int, status: str, error: str | None = None) -> None:
        self._open.discard(run_id)
        self._worker.note_memory()
        writes.end_run(
            run_id,
            status,
            error=error,
            wall_seconds=self._seconds(),
            peak_rss_mb=round(self._worker.peak_rss_mb, 1),
        )

    def _seconds(self) -> float:
        return time.perf_counter() - self._start
