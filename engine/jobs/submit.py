"""What pages and the command line call: submit, stop, resume, and see that a worker is alive."""

from __future__ import annotations

import subprocess
import sys

from db import reads, writes
from db.tables import Run
from engine.config import ExperimentConfig
from engine.jobs.resolve import resolve
from engine.jobs.validate import validate
from engine.paths import ROOT, home
from engine.system.processes import is_alive


class NotPossible(ValueError):
    """What a user asked for does not fit the state of the run, in one sentence."""


def create(config: ExperimentConfig, worker_id: int | None = None) -> tuple[int, list[int]]:
    """Insert an experiment and its runs; returns their ids. Raises ConfigError where not ready."""
    from engine.strategies import STRATEGIES

    config = validate(config)
    rounds = {key: config.rounds * STRATEGIES[key].trained for key in config.strategies}
    return writes.create_experiment(config.model_dump(mode="json"), rounds, worker_id)


def submit(config: ExperimentConfig) -> tuple[int, list[int]]:
    """Queue an experiment and ensure a worker; returns its id and its runs'."""
    created = create(config)
    ensure_worker()
    return created


def stop(run_id: int) -> None:
    """Ask a run to stop after its round. Raises NoSuchRun, NotPossible."""
    run = _run_now(run_id)
    if run.status not in ("queued", "running"):
        raise NotPossible(f"run {run_id} is {run.status}; only a queued or running run can stop")
    writes.request_stop(run_id)


def resume(run_id: int) -> None:
    """Queue a run again, to go on after its last round. Raises NoSuchRun, NotPossible."""
    run = _run_now(run_id)
    if run.status not in ("stopped", "failed", "interrupted"):
        raise NotPossible(
            f"run {run_id} is {run.status}; only a stopped, failed or interrupted run can resume"
        )
    writes.requeue(run_id)
    ensure_worker()


def ensure_worker() -> None:
    """Start a worker unless one that takes the queue is alive."""
    mark_interrupted()
    if any(worker.takes_queue and is_alive(worker) for worker in reads.workers()):
        return
    spawn_worker()


def prepare(config: ExperimentConfig) -> None:
    """Have a worker make ready what this config needs, in case it is run next.

    Raises ConfigError where the data cannot be read.
    """
    values = resolve(config, config.model_fields_set).model_dump(mode="json")
    known = reads.preparation()
    if known is None or known.config != values:
        writes.ask_to_prepare(values)
    ensure_worker()


def spawn_worker() -> None:
    """Start ``python -m engine worker`` on its own: it outlives the page that asked for it."""
    with (home() / "worker.log").open("ab") as log:
        subprocess.Popen(
            [sys.executable, "-m", "engine", "worker"],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # else Ctrl-C in the terminal of the pages would end it too
        )


def mark_interrupted() -> None:
    """Mark the runs of dead workers as interrupted. Cheap when all is well."""
    workers = reads.workers()
    dead = [worker for worker in workers if not is_alive(worker)]
    living = {worker.id for worker in workers} - {worker.id for worker in dead}
    for run in reads.unfinished_runs():
        if run.worker_id not in living:
            writes.end_run(run.id, "interrupted")
    for worker in dead:
        writes.remove_worker(worker.id)


def _run_now(run_id: int) -> Run:
    mark_interrupted()
    return reads.run(run_id)
