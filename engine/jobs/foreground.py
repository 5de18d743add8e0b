"""Run an experiment or a sweep in this process, with a progress bar when somebody watches."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar

from db import reads, sweeps, writes
from db.progress import Progress, progress
from engine.config import ExperimentConfig
from engine.jobs import sweeps as sweeping
from engine.jobs.door import execution
from engine.jobs.prefetch import prefetch
from engine.jobs.queue import create
from engine.jobs.validate import notes_of
from engine.jobs.worker import Registration, execute, registered

_POLL_SECONDS = 0.3


def run_in_foreground(config: ExperimentConfig, *, show: bool = True) -> tuple[int, list[int]]:
    """Run all strategies of an experiment, side by side; return its id and its runs'.

    Where it is interrupted, so are its runs; where it is paused, it waits. Raises ConfigError,
    before anything starts.
    """
    with registered(takes_queue=False) as worker:
        experiment, runs = create(config, worker_id=worker.id)
        names = ", ".join(run.strategy for run in reads.runs_of(experiment))
        title = f"experiment {experiment}: {names}, rounds"
        with _shown(worker, title, lambda: progress(experiment), show):
            _work(worker, lambda: True)
    return experiment, runs


def run_sweep_in_foreground(config: ExperimentConfig, *, show: bool = True) -> int:
    """Run the points of a sweep that are not stored yet, one after another; return its id.

    As ``run_in_foreground`` does; an interrupted sweep can be resumed in the background.
    """
    with registered(takes_queue=False) as worker:
        sweep = sweeping.create(config, worker_id=worker.id)
        with _shown(worker, f"sweep {sweep}, rounds", lambda: sweeps.progress(sweep), show):
            _work(worker, lambda: not sweeps.is_paused(sweep))
    return sweep


def _work(worker: Registration, may_begin: Callable[[], bool]) -> None:
    """Execute what this worker has been given, an experiment at a time, until nothing is left."""
    while given := reads.runs_of_worker(worker.id):
        queued = [run for run in given if run.status == "queued"]
        if unwanted := [run.id for run in queued if run.stop_requested and not run.rounds_done]:
            for run_id in unwanted:  # it has not begun
                writes.end_run(run_id, "stopped")
            continue
        if not queued or not may_begin():
            time.sleep(_POLL_SECONDS)
            continue
        first = queued[0].experiment
        prefetch(first.config, first.resolved)
        execution()
        execute([run.id for run in queued if run.experiment_id == first.id], worker)


@contextmanager
def _shown(
    worker: Registration, title: str, look: Callable[[], Progress], show: bool
) -> Iterator[None]:
    """Say what to know first, and follow the rounds while the block runs."""
    if not show:
        yield
        return
    experiments = {run.experiment_id: run.experiment for run in reads.runs_of_worker(worker.id)}
    lines = [line for stored in experiments.values() for line in notes_of(stored)]
    sys.stderr.writelines(f"{line}\n" for line in dict.fromkeys(lines))
    if not sys.stderr.isatty():
        yield
        return
    ended = threading.Event()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Bar(*columns, TextColumn("{task.fields[left]}"), console=Console(stderr=True)) as bar:
        task = bar.add_task(title, left="")

        def draw() -> None:
            now = look()
            left = now.seconds_left
            text = "" if left is None else f"about {timedelta(seconds=round(left))} left"
            bar.update(task, completed=now.done, total=now.planned, left=text)

        def follow() -> None:
            while not ended.wait(_POLL_SECONDS):
                draw()

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            draw()
