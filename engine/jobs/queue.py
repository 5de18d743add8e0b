"""The queue of runs, as pages and the command line use it: submit, stop, resume, look after it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import psutil
from filelock import FileLock

from db import pacing, reads, writes
from db.tables import ALIVE, RESUMABLE, Experiment, Run
from engine.config import ExperimentConfig
from engine.fl.privacy import planned_rounds
from engine.fl.resolved import resolve
from engine.jobs.validate import check_unchanged, complete, validate
from engine.paths import ROOT, home
from engine.system.processes import host, is_alive, is_here


class NotPossible(ValueError):
    """What a user asked for does not fit the state of the run, in one sentence."""


def create(config: ExperimentConfig, worker_id: int | None = None) -> tuple[int, list[int]]:
    """Insert an experiment and its runs; return their ids. Raises ConfigError where not ready.

    Raises ValueError for a sweep, which is engine.jobs.sweeps' to submit.
    """
    if config.is_swept:
        raise ValueError("a config with repeats or a sweep stands for more than one experiment")
    config, resolved = validate(config)
    rounds = {key: planned_rounds(config, key) for key in config.strategies}
    values = config.model_dump(mode="json")
    return writes.create_experiment(
        values, rounds, worker_id, resolved.to_dict(), notes=resolved.account
    )


def submit(config: ExperimentConfig) -> tuple[int, list[int]]:
    """Queue an experiment and ensure a worker; return its id and its runs'."""
    created = create(config)
    ensure_worker()
    return created


def stop(run_id: int) -> None:
    """Ask a run to stop; what it has not committed is let go. Raises NoSuchRun, NotPossible."""
    run = _run_now(run_id)
    if run.status not in ALIVE:
        raise NotPossible(f"run {run_id} is {run.status}; only a queued or running run can stop")
    writes.request_stop(run_id)
    tend()


def stop_all(experiment_id: int) -> None:
    """Ask all runs of an experiment to stop that are not over."""
    for run in reads.runs_of(experiment_id):
        if run.status in ALIVE:
            writes.request_stop(run.id)
    tend()


def pause(experiment_id: int) -> None:
    """Have an experiment pause after its round. Raises NotPossible."""
    mark_interrupted()
    if not pacing.pause(experiment_id):
        raise NotPossible(f"experiment {experiment_id} is {_state(experiment_id)} already")


def step(experiment_id: int) -> None:
    """Have a paused experiment do one more round. Raises NotPossible."""
    _move(experiment_id, pacing.step, "step")


def go_on(experiment_id: int) -> None:
    """Have a paused experiment go on by itself. Raises NotPossible."""
    _move(experiment_id, pacing.go_on, "go on")


def _move(experiment_id: int, move: Callable[[int], bool], words: str) -> None:
    mark_interrupted()
    if not move(experiment_id):
        raise NotPossible(
            f"experiment {experiment_id} is {_state(experiment_id)}; only a paused one can {words}"
        )
    tend()


def resume(run_id: int, runtime: str | None = None) -> None:
    """Have a run go on: a paused one with its experiment, an ended one after its last round.

    ``runtime``: where its clients work from now on; the numbers stay. Raises NoSuchRun,
    NotPossible, and ConfigError where its data or its model are others by now.
    """
    run = _run_now(run_id)
    if runtime is not None:
        _move_to(runtime, run.experiment)
    if run.status in RESUMABLE:
        check_unchanged(run.experiment)
    freed = pacing.go_on(run.experiment_id)
    if not writes.requeue(run_id) and not (freed and run.status in ALIVE):
        raise NotPossible(
            f"run {run_id} is {run.status}; "
            "only a paused, stopped, failed or interrupted run can resume"
        )
    tend()


def _move_to(runtime: str, experiment: Experiment) -> None:
    config = ExperimentConfig.parse({**experiment.config, "runtime": runtime})
    if any(run.status == "running" for run in reads.runs_of(experiment.id)):
        raise NotPossible(
            f"experiment {experiment.id} is running; its runtime can change when it is not"
        )
    writes.set_config(experiment.id, config.model_dump(mode="json"))


def prepare(config: ExperimentConfig) -> None:
    """Have a worker make ready what this config needs, in case it is run next.

    Raises ConfigError where the data cannot be read.
    """
    config = complete(config, config.model_fields_set)
    values, resolved = config.model_dump(mode="json"), resolve(config).to_dict()
    known = reads.preparation()
    if known is None or (known.config, known.resolved) != (values, resolved):
        writes.ask_to_prepare(values, resolved)
    ensure_worker()


def tend() -> None:
    """Mark what dead workers have left, and see that a waiting run finds a worker.

    Whoever looks at runs calls it, so that none waits for ever. Cheap when all is well.
    """
    mark_interrupted()
    if reads.next_queued() is not None:
        ensure_worker()


def mark_interrupted() -> None:
    """Mark the runs of dead workers as interrupted. Cheap when all is well."""
    dead = [worker for worker in reads.workers() if not is_alive(worker)]
    if dead or reads.are_runs_lost():
        writes.remove_workers(dead)


def ensure_worker() -> None:
    """Start a worker unless one that takes the queue is alive on this machine."""
    mark_interrupted()
    if _is_served():
        return
    with FileLock(home() / "spawn.lock"):  # however many ask at once, one is started
        if not _is_served():
            spawn_worker()


def spawn_worker() -> None:
    """Start ``python -m engine worker`` on its own: it outlives the page that asked for it.

    It is registered here, for it needs a second until it could do so itself.
    """
    with (home() / "worker.log").open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "engine", "worker"],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # else Ctrl-C in the terminal of the pages would end it too
        )
    started = psutil.Process(child.pid).create_time()
    writes.add_worker(child.pid, started, takes_queue=True, host=host())


def _is_served() -> bool:
    return any(w.takes_queue and is_here(w) and is_alive(w) for w in reads.workers())


def _run_now(run_id: int) -> Run:
    tend()
    return reads.run(run_id)


def _state(experiment_id: int) -> str:
    """Return in a word whether an experiment goes on, is paused, or is over."""
    if not any(run.status in ALIVE for run in reads.runs_of(experiment_id)):
        return "over"
    return "running" if pacing.orders(experiment_id).round_limit is None else "paused"
