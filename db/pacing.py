"""Pause and step: how far the runs of an experiment may go, and which of them wait for leave.

A paused run waits for leave to begin its next round: with its worker, or, where that has left,
alone; then it must be queued again to go on.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Exists, Update, func, select, update
from sqlalchemy.orm import Session

from db.engine import reading, writing
from db.tables import Event, Experiment, Run

LIVE = ("queued", "running", "paused")


def round_limit(experiment_id: int) -> int | None:
    """Return the last round that may begin; None while the experiment goes on by itself."""
    with reading() as session:
        of_it = select(Experiment.round_limit).where(Experiment.id == experiment_id)
        return session.scalar(of_it)


def pause(experiment_id: int) -> bool:
    """Let no round begin after the one at work; False where it is paused, or over, already."""
    with writing() as session:
        limit = _rounds_done(session, experiment_id) + 1
        going_on = (Experiment.id == experiment_id, Experiment.round_limit.is_(None))
        paused = update(Experiment).where(*going_on, _is_live(experiment_id))
        text = "Asked to pause after this round."
        return _moved(session, paused.values(round_limit=limit), experiment_id, text)


def step(experiment_id: int) -> bool:
    """Let one more round begin; False where the experiment is not paused."""
    with writing() as session:
        is_paused = (Experiment.id == experiment_id, Experiment.round_limit.is_not(None))
        stepped = update(Experiment).where(*is_paused, _is_live(experiment_id))
        values = {"round_limit": Experiment.round_limit + 1}
        return _moved(session, stepped.values(values), experiment_id, "One more round.")


def go_on(experiment_id: int) -> bool:
    """Let an experiment go on by itself; False where it does."""
    with writing() as session:
        is_paused = (Experiment.id == experiment_id, Experiment.round_limit.is_not(None))
        freed = update(Experiment).where(*is_paused).values(round_limit=None)
        return _moved(session, freed, experiment_id, "Goes on by itself.")


def mark_paused(runs: Sequence[int]) -> None:
    """Note that running runs wait for leave to begin their next round."""
    with writing() as session:
        waiting = update(Run).where(Run.id.in_(runs), Run.status == "running")
        for row in session.execute(
            waiting.values(status="paused").returning(Run.id, Run.rounds_done)
        ):
            session.add(Event(run_id=row.id, text=f"Paused after round {row.rounds_done}."))


def mark_running(runs: Sequence[int]) -> None:
    """Note that paused runs have leave again."""
    with writing() as session:
        waiting = update(Run).where(Run.id.in_(runs), Run.status == "paused")
        session.execute(waiting.values(status="running"))


def leave_paused(runs: Sequence[int], wall_seconds: float) -> None:
    """Note that their worker has something else to do: they are paused without one."""
    with writing() as session:
        mine = update(Run).where(Run.id.in_(runs), Run.status.in_(("running", "paused")))
        values = {"status": "paused", "worker_id": None}
        session.execute(mine.values(values | {"wall_seconds": Run.wall_seconds + wall_seconds}))


def requeue_paused(experiment_id: int) -> bool:
    """Queue the paused runs of an experiment that have no worker; False where there are none."""
    with writing() as session:
        alone = (Run.experiment_id == experiment_id, Run.status == "paused")
        queued = update(Run).where(*alone, Run.worker_id.is_(None)).values(status="queued")
        return bool(session.scalars(queued.returning(Run.id)).all())


def _rounds_done(session: Session, experiment_id: int) -> int:
    live = (Run.experiment_id == experiment_id, Run.status.in_(LIVE), Run.rounds_done < Run.rounds)
    return session.scalar(select(func.min(Run.rounds_done)).where(*live)) or 0


def _is_live(experiment_id: int) -> Exists:
    return select(Run.id).where(Run.experiment_id == experiment_id, Run.status.in_(LIVE)).exists()


def _moved(session: Session, change: Update, experiment_id: int, text: str) -> bool:
    if session.scalar(change.returning(Experiment.id)) is None:
        return False
    live = select(Run.id).where(Run.experiment_id == experiment_id, Run.status.in_(LIVE))
    session.add_all(Event(run_id=run, text=text) for run in session.scalars(live))
    return True
