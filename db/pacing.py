"""Pause and step: how far the runs of an experiment may go, and which of them wait for leave.

A paused run has no worker at work on it; it is queued again when it may go on.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.engine import reading, writing
from db.tables import ALIVE, Event, Experiment, Run


@dataclass(frozen=True)
class Orders:
    """What people have asked of an experiment.

    ``round_limit``: the last round that may begin, None while it goes on by itself; ``stopped`` and
    ``queued``: runs that are to stop, and runs that wait for a worker.
    """

    round_limit: int | None
    stopped: frozenset[int]
    queued: frozenset[int]


def orders(experiment_id: int) -> Orders:
    """Return what people have asked of an experiment."""
    with reading() as session:
        limit = session.scalar(select(Experiment.round_limit).where(Experiment.id == experiment_id))
        columns = select(Run.id, Run.status, Run.worker_id, Run.stop_requested)
        runs = session.execute(columns.where(Run.experiment_id == experiment_id)).all()
    return Orders(
        limit,
        frozenset(run.id for run in runs if run.stop_requested),
        frozenset(run.id for run in runs if run.status == "queued" and run.worker_id is None),
    )


def pause(experiment_id: int) -> bool:
    """Let no round begin after the one at work; False where it is paused, or over, already."""
    with writing() as session:
        experiment = _locked(session, experiment_id)
        live = _alive(experiment)
        if not live or experiment.round_limit is not None:
            return False
        experiment.round_limit = _rounds_done(live) + 1
        _tell(session, live, "Asked to pause after this round.")
        return True


def step(experiment_id: int) -> bool:
    """Let one more round begin; False where the experiment is not paused, or over."""
    with writing() as session:
        experiment = _locked(session, experiment_id)
        live = _alive(experiment)
        if not live or experiment.round_limit is None:
            return False
        experiment.round_limit = max(experiment.round_limit, _rounds_done(live)) + 1
        _tell(session, live, "One more round.")
        _requeue(live)
        return True


def go_on(experiment_id: int) -> bool:
    """Let an experiment go on by itself; False where it does."""
    with writing() as session:
        experiment = _locked(session, experiment_id)
        if experiment.round_limit is None:
            return False
        experiment.round_limit = None
        _tell(session, _alive(experiment), "Goes on by itself.")
        _requeue(_alive(experiment))
        return True


def leave_paused(
    experiment_id: int, wall_seconds: Mapping[int, float], *, keeps_worker: bool
) -> None:
    """Note that running runs wait for leave to begin their next round, if they still do.

    ``wall_seconds``: how long each was at work; ``keeps_worker``: they are to go on with the worker
    that they have, and no other.
    """
    with writing() as session:
        experiment = _locked(session, experiment_id)
        limit = experiment.round_limit
        for run in experiment.runs:
            if run.id not in wall_seconds:
                continue
            run.wall_seconds += wall_seconds[run.id]
            if not keeps_worker:
                run.worker_id = None
            if limit is None or run.rounds_done < limit or run.stop_requested:
                run.status = "queued"
                continue
            run.status = "paused"
            _tell(session, [run], f"Paused after round {run.rounds_done}.")


def _locked(session: Session, experiment_id: int) -> Experiment:
    return session.get_one(Experiment, experiment_id, with_for_update=True)


def _alive(experiment: Experiment) -> list[Run]:
    return [run for run in experiment.runs if run.status in ALIVE]


def _rounds_done(runs: Collection[Run]) -> int:
    """Return how far the last of these runs has come that has rounds to do."""
    return min((run.rounds_done for run in runs if run.rounds_done < run.rounds), default=0)


def _requeue(runs: Collection[Run]) -> None:
    for run in runs:
        if run.status == "paused":
            run.status = "queued"


def _tell(session: Session, runs: Collection[Run], text: str) -> None:
    session.add_all(Event(run_id=run.id, text=text) for run in runs)
