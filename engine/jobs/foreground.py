"""Run an experiment in this process, with a progress bar when somebody watches."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from db import reads
from db.progress import progress
from engine.config import ExperimentConfig
from engine.jobs.door import execution
from engine.jobs.prefetch import prefetch
from engine.jobs.queue import create
from engine.jobs.validate import resolved_of
from engine.jobs.worker import execute, registered

_POLL_SECONDS = 0.3


def run_in_foreground(config: ExperimentConfig, *, show: bool = True) -> tuple[int, list[int]]:
    """Run all strategies of an experiment, side by side; return its id and its runs'.

    Where it is interrupted, so are its runs; where it is paused, it waits. Raises ConfigError,
    before anything starts.
    """
    with registered(takes_queue=False) as worker:
        experiment, runs = create(config, worker_id=worker.id)
        stored = reads.run(runs[0]).experiment  # what the data decide is filled in
        if show:
            sys.stderr.writelines(f"{line}\n" for line in resolved_of(stored).account)
        prefetch(stored.config, stored.resolved)
        execution()
        with _progress(experiment) if show else nullcontext():
            while mine := [r for r in map(reads.run, runs) if r.worker_id == worker.id]:
                queued = [run.id for run in mine if run.status == "queued"]
                if queued:
                    execute(queued, worker)
                else:
                    time.sleep(_POLL_SECONDS)
    return experiment, runs


@contextmanager
def _progress(experiment: int) -> Iterator[None]:
    """Follow the experiment's rounds in the database while the block runs."""
    if not sys.stderr.isatty():
        yield
        return
    ended = threading.Event()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TextColumn("{task.fields[left]}"), console=Console(stderr=True)) as bar:
        names = ", ".join(run.strategy for run in reads.runs_of(experiment))
        task = bar.add_task(f"experiment {experiment}: {names}, rounds", left="")

        def show() -> None:
            now = progress(experiment)
            left = now.seconds_left
            text = "" if left is None else f"about {timedelta(seconds=round(left))} left"
            bar.update(task, completed=now.done, total=now.planned, left=text)

        def follow() -> None:
            while not ended.wait(_POLL_SECONDS):
                show()

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            show()
