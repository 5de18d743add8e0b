"""Run an experiment in this process, with a progress bar when somebody watches."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from db import reads
from engine.config import ExperimentConfig
from engine.jobs.door import execution
from engine.jobs.prefetch import prefetch
from engine.jobs.queue import create
from engine.jobs.validate import resolved_of
from engine.jobs.worker import execute, registered


def run_in_foreground(config: ExperimentConfig, *, show: bool = True) -> tuple[int, list[int]]:
    """Run all strategies of an experiment, one after another; return its id and its runs'.

    Where it is interrupted, so are the runs that still wait. Raises ConfigError, before anything
    starts.
    """
    with registered(takes_queue=False) as worker:
        experiment, runs = create(config, worker_id=worker.id)
        stored = reads.run(runs[0]).experiment  # what the data decide is filled in
        if show:
            sys.stderr.writelines(f"{line}\n" for line in resolved_of(stored).account)
        prefetch(stored.config, stored.resolved)
        execution()
        for run_id in runs:
            with _progress(run_id) if show else nullcontext():
                execute(run_id, worker)
    return experiment, runs


@contextmanager
def _progress(run_id: int) -> Iterator[None]:
    """Follow the run's rounds in the database while the block runs."""
    if not sys.stderr.isatty():
        yield
        return
    run = reads.run(run_id)
    ended = threading.Event()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task(f"run {run_id} {run.strategy}", total=run.rounds)

        def follow() -> None:
            while not ended.wait(0.3):
                bar.update(task, completed=reads.run(run_id).rounds_done)

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            bar.update(task, completed=reads.run(run_id).rounds_done)
