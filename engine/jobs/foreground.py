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
    """Run all strategies of an experiment, side by side; return its id and its runs'.

    Raises ConfigError, before anything
    starts.
    """
    with registered(takes_queue=False) as worker:
        experiment, runs = create(config, worker_id=worker.id)
        stored = reads.run(runs[0]).experiment  # what the data decide is filled in
        if show:
            sys.stderr.writelines(f"{line}\n" for line in resolved_of(stored).account)
        prefetch(stored.config, stored.resolved)
        execution()
        with _progress(runs) if show else nullcontext():
            execute(runs, worker)
    return experiment, runs


@contextmanager
def _progress(runs: list[int]) -> Iterator[None]:
    """Follow the experiment's rounds in the database while the block runs."""
    if not sys.stderr.isatty():
        yield
        return
    rows = [reads.run(run) for run in runs]
    ended = threading.Event()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        names = f"experiment {rows[0].experiment_id}: {', '.join(row.strategy for row in rows)}"
        task = bar.add_task(names, total=sum(row.rounds for row in rows))

        def show() -> None:
            done = sum(row.rounds_done for row in reads.runs_of(rows[0].experiment_id))
            bar.update(task, completed=done)

        def follow() -> None:
            while not ended.wait(0.3):
                show()

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            show()
