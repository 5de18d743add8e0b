"""Sweeps in the queue: one entry that is submitted, stopped, paused and resumed as a whole.

A point is an ordinary experiment; a run that is stored and done with the same config, model and
data stands for its own, and is not trained again.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable
from typing import Any

from db import reads, sweeps, writes
from db.sweeps import PlannedPoint
from db.tables import ALIVE, RESUMABLE
from engine.config import ConfigError, ExperimentConfig
from engine.fl.privacy import planned_rounds
from engine.jobs import lookup
from engine.jobs.queue import NotPossible, ensure_worker, mark_interrupted, tend
from engine.jobs.validate import check_unchanged, complete, validate


def create(config: ExperimentConfig, worker_id: int | None = None) -> int:
    """Insert a sweep and the experiments that it lacks; return its id.

    Raises ConfigError where a point cannot run, before anything is inserted.
    """
    points = _planned(config, have=())
    looked_up = {key: points[0].config[key] for key in ("dataset", "model", "start")}
    config = config.model_copy(update=looked_up)  # paths are whole: it may be resumed elsewhere
    return sweeps.create(config.model_dump(mode="json"), points, worker_id)


def submit(config: ExperimentConfig) -> int:
    """Queue a sweep and ensure a worker; return its id. Raises ConfigError."""
    sweep = create(config)
    tend()
    return sweep


def lacking(config: ExperimentConfig) -> list[ExperimentConfig]:
    """Return for each point whose runs are not all stored its config, with only the lacking ones.

    By the config alone, which is quick enough for a form; ``create`` looks at the state of model
    and data as well. Raises ConfigError where the data cannot be read.
    """
    stored = {stored.for_one(run.strategy) for run, stored in lookup.finished()}
    left = []
    for point in (complete(p.config, p.config.model_fields_set) for p in config.points()):
        keys = tuple(key for key in point.strategies if point.for_one(key) not in stored)
        if keys:
            left.append(point.model_copy(update={"strategies": keys}))
    return left


def stop(sweep_id: int) -> None:
    """Ask all runs of a sweep to stop that are not over. Raises NoSuchSweep, NotPossible."""
    sweeps.sweep(sweep_id)
    alive = [run for run in _own(sweep_id) if run.status in ALIVE]
    if not alive:
        raise NotPossible(f"sweep {sweep_id} is over; only one that goes on can stop")
    for run in reversed(alive):  # from the end: else the worker would begin the next one
        writes.request_stop(run.run)
    sweeps.set_paused(sweep_id, False)
    tend()


def pause(sweep_id: int) -> None:
    """Let no further point of a sweep begin. Raises NoSuchSweep, NotPossible."""
    sweeps.sweep(sweep_id)
    if not any(run.status in ALIVE for run in _own(sweep_id)):
        raise NotPossible(f"sweep {sweep_id} is over; only one that goes on can pause")
    if not sweeps.set_paused(sweep_id, True):
        raise NotPossible(f"sweep {sweep_id} is paused already")


def resume(sweep_id: int) -> None:
    """Have a sweep go on: a paused one, and what of it was stopped, has failed or is gone.

    Raises NoSuchSweep, NotPossible, and ConfigError where its data or its model are others by now.
    """
    stored = sweeps.sweep(sweep_id)
    mark_interrupted()
    ended = [run for run in _own(sweep_id) if run.status in RESUMABLE]
    for experiment_run in {run.experiment: run.run for run in ended}.values():
        check_unchanged(reads.run(experiment_run).experiment)
    have = {(run.point, run.strategy) for run in sweeps.runs(sweep_id)}
    missing = _planned(ExperimentConfig.parse(stored.config), have)
    freed = sweeps.set_paused(sweep_id, False)
    if not (ended or missing or freed):
        raise NotPossible(f"sweep {sweep_id} has nothing left to resume")
    for run in ended:
        writes.requeue(run.run)
    sweeps.add_points(sweep_id, missing)
    ensure_worker()


def _own(sweep_id: int) -> list[sweeps.PointRun]:
    return [run for run in sweeps.runs(sweep_id) if not run.reused]


def _planned(config: ExperimentConfig, have: Collection[tuple[int, str]]) -> list[PlannedPoint]:
    """Plan what a sweep lacks besides the runs that it has, by point and strategy."""
    points = config.points()
    lacking = {
        number: keys
        for number in range(len(points))
        if (keys := [key for key in config.strategies if (number, key) not in have])
    }
    stored = _stored() if lacking else {}
    planned: dict[Hashable, int] = {}
    return [_plan(n, points[n].config, keys, stored, planned) for n, keys in lacking.items()]


def _plan(
    number: int,
    config: ExperimentConfig,
    strategies: Collection[str],
    stored: dict[Hashable, int],
    planned: dict[Hashable, int],
) -> PlannedPoint:
    """Plan a point, and note in ``planned`` the runs that it is to have."""
    try:
        config, resolved = validate(config)
    except ConfigError as mistake:
        raise ConfigError(f"{mistake} (in {config.name})") from None
    facts = resolved.to_dict()
    point = PlannedPoint(
        number, config.model_dump(mode="json"), facts, resolved.account, {}, {}, {}
    )
    for strategy in strategies:
        key = _same_run(config, strategy, facts)
        if key in stored:
            point.stored[strategy] = stored[key]
        elif key in planned:
            point.same_as[strategy] = planned[key]
        else:
            planned[key] = number
            point.rounds[strategy] = planned_rounds(config, strategy)
    return point


def _stored() -> dict[Hashable, int]:
    """Return the finished runs by what decides their numbers."""
    return {
        _same_run(config, run.strategy, resolved): run.id
        for run, config in lookup.finished()
        # That of an older lab is unknown: it noted no state of model and data.
        if (resolved := run.experiment.resolved) is not None
    }


def _same_run(config: ExperimentConfig, strategy: str, resolved: dict[str, Any]) -> Hashable:
    """Return what two runs have in common whose numbers are the same."""
    model, data = resolved["model"], resolved["data"]
    content = tuple(str(data[key]) for key in sorted(data) if key != "place")
    return config.for_one(strategy), model["digest"], model["dtype"], content
