"""Experiments renamed, tagged and noted; runs deleted, brought back, and gone for good."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select, update

from db.engine import reading, writing
from db.tables import ALIVE, GONE, OF_RUN, Client, Experiment, Preparation, Run, Sweep, now

_HIDDEN = (Run.deleted_at.is_not(None), Run.status != GONE)


def rename(experiment_id: int, name: str) -> None:
    """Give an experiment another name, in its config too."""
    with writing() as session:
        experiment = session.get_one(Experiment, experiment_id)
        experiment.name = name
        experiment.config = {**experiment.config, "name": name}


def label(experiment_id: int, tags: list[str], notes: str) -> None:
    """Set people's own tags and notes of an experiment."""
    with writing() as session:
        values = {"tags": tags, "notes": notes}
        session.execute(update(Experiment).where(Experiment.id == experiment_id).values(values))


def delete_runs(run_ids: Collection[int]) -> list[int]:
    """Hide runs that are over; return which. The example's stay, and those that are at work."""
    example = select(Experiment.id).where(Experiment.bundled)
    with writing() as session:
        over = update(Run).where(
            Run.id.in_(run_ids),
            Run.deleted_at.is_(None),
            Run.status.not_in(ALIVE),
            Run.experiment_id.not_in(example),
        )
        return sorted(session.scalars(over.values(deleted_at=now()).returning(Run.id)))


def restore_runs(run_ids: Collection[int]) -> list[int]:
    """Bring deleted runs back that are not gone for good; return which."""
    with writing() as session:
        hidden = update(Run).where(Run.id.in_(run_ids), *_HIDDEN).values(deleted_at=None)
        return sorted(session.scalars(hidden.returning(Run.id)))


def deleted_runs(before: datetime | None = None) -> list[Run]:
    """Return the deleted runs that can come back, newest first; only those deleted ``before``."""
    older = () if before is None else (Run.deleted_at < before,)
    with reading() as session:
        hidden = select(Run).where(*_HIDDEN, *older).order_by(Run.deleted_at.desc(), Run.id)
        return list(session.scalars(hidden))


def forget_runs(run_ids: Collection[int]) -> list[int]:
    """Remove all rows of deleted runs for good; return which runs are gone now.

    The newest run and the newest experiment keep an empty row: SQLite would give their numbers to
    the next, whose folder may not be there yet.
    """
    with writing() as session:
        hidden = update(Run).where(Run.id.in_(run_ids), *_HIDDEN).values(status=GONE, error=None)
        gone = sorted(session.scalars(hidden.returning(Run.id)))
        for table in OF_RUN:
            session.execute(delete(table).where(table.run_id.in_(gone)))
        newest = select(func.max(Run.id)).scalar_subquery()
        session.execute(delete(Run).where(Run.status == GONE, Run.id < newest))
        kept = select(Run.experiment_id).where(Run.status != GONE)
        empty = Experiment.id.not_in(kept)
        session.execute(delete(Client).where(Client.experiment_id.not_in(kept)))
        session.execute(
            update(Experiment).where(empty).values(name="", config={}, tags=[], notes="")
        )
        last = select(func.max(Experiment.id)).scalar_subquery()
        rowless = Experiment.id.not_in(select(Run.experiment_id))
        session.execute(delete(Experiment).where(rowless, Experiment.id < last))
        return gone


def known_run_ids() -> set[int]:
    """Return the numbers of all runs that there are, hidden ones too."""
    with reading() as session:
        return set(session.scalars(select(Run.id)))


def configs_in_use() -> list[dict[str, Any]]:
    """Return the configs of experiments with runs that are not gone, of sweeps, and of the form."""
    alive = select(Experiment.config).where(Experiment.runs.any(Run.status != GONE))
    with reading() as session:
        others = [session.scalars(select(table.config)) for table in (Sweep, Preparation)]
        return [*session.scalars(alive), *(config for configs in others for config in configs)]


def are_runs_alive() -> bool:
    """Tell whether a run is at work, waits for a worker, or is paused."""
    with reading() as session:
        return session.scalar(select(Run.id).where(Run.status.in_(ALIVE)).limit(1)) is not None
