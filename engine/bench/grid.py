"""Many runs for one measurement. Those that are stored already are taken as they are."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from multiprocessing.queues import SimpleQueue
from statistics import mean

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from db import reads
from engine.config import ExperimentConfig
from engine.jobs import lookup
from engine.jobs.foreground import run_in_foreground
from engine.jobs.validate import complete
from engine.system.machine import cores, pin


class RunsFailed(RuntimeError):
    """Some runs of a grid have failed."""


def run_grid(title: str, configs: Sequence[ExperimentConfig]) -> dict[ExperimentConfig, int]:
    """Return the run of every config (of one strategy each); run those that are not stored.

    Raises RunsFailed. After an interruption the next call goes on where this one ended.
    """
    keys = {config: _key(config) for config in configs}
    missing = _not_stored(keys)
    experiments: dict[ExperimentConfig, list[str]] = {}
    for config in missing:
        alike = config.model_copy(update={"strategies": ()})
        experiments.setdefault(alike, []).append(config.strategies[0])
    _execute(title, [e.model_copy(update={"strategies": tuple(s)}) for e, s in experiments.items()])
    stored = _stored()
    absent = [config for config in missing if keys[config] not in stored]
    if absent:
        raise RunsFailed(
            f"{len(absent)} of {len(configs)} runs have not ended well, the first: "
            f"{absent[0].strategies[0]} on '{absent[0].name}'; `python -m engine runs` lists them"
        )
    return {config: stored[key] for config, key in keys.items()}


def not_stored(configs: Sequence[ExperimentConfig]) -> list[ExperimentConfig]:
    """Return those of the configs (of one strategy each) that ``run_grid`` would run."""
    return _not_stored({config: _key(config) for config in configs})


def _not_stored(keys: Mapping[ExperimentConfig, ExperimentConfig]) -> list[ExperimentConfig]:
    stored = _stored()
    return [config for key, config in {k: c for c, k in keys.items()}.items() if key not in stored]


def own_accuracy(run: int) -> float:
    """Return a run's accuracy on the clients' own test sets, mean over clients."""
    return mean(reads.deployed_accuracies(run, "own").values())


def _key(config: ExperimentConfig) -> ExperimentConfig:
    whole = complete(config, config.model_fields_set)  # as it is stored
    return whole.for_one(config.strategies[0])


def _stored() -> dict[ExperimentConfig, int]:
    """Key finished runs by what decides their numbers."""
    return {config.for_one(run.strategy): run.id for run, config in lookup.finished()}


def _execute(title: str, experiments: Sequence[ExperimentConfig]) -> None:
    """Run experiments in one process per core, which does more than one process on all cores."""
    if not experiments:
        return
    context = multiprocessing.get_context("spawn")
    free: SimpleQueue[int] = context.SimpleQueue()
    for core in range(cores()):
        free.put(core)
    before, total = len(reads.done_runs()), sum(len(e.strategies) for e in experiments)
    left = TimeRemainingColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), left)
    with (
        Progress(*columns, console=Console(stderr=True)) as bar,
        ProcessPoolExecutor(cores(), context, _take_core, (free,)) as pool,
    ):
        task = bar.add_task(title, total=total)
        running: set[Future] = {pool.submit(run_in_foreground, e, show=False) for e in experiments}
        try:
            while running:
                ended, running = wait(running, timeout=1)
                for future in ended:
                    future.result()  # a failed run raises nothing; what does is a fault of ours
                bar.update(task, completed=len(reads.done_runs()) - before)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _take_core(free: SimpleQueue[int]) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    pin(free.get())


def _end_with_parent() -> None:
    """End with the process that handed out the runs, however that one ends."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)
