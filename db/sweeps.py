"""Sweeps: the runs that stand for their points, how far they are, what people ask of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from db.engine import reading, writing
from db.progress import Progress
from db.tables import ALIVE, Round, Run, Sweep, SweepRun
from db.writes import add_experiment


class NoSuchSweep(LookupError):
    """The sweep that a user named does not exist."""

    def __init__(self, sweep_id: int) -> None:
        super().__init__(f"there is no sweep {sweep_id}")


@dataclass(frozen=True)
class PlannedPoint:
    """What a point of a sweep lacks: an experiment to be made, and runs that stand for its own.

    By strategy. ``rounds``: of runs to be made; ``stored``: runs that are there; ``same_as``: the
    earlier point of this sweep whose run is this one's too.
    """

    point: int
    config: dict[str, Any]
    resolved: dict[str, Any]
    notes: Sequence[str]
    rounds: dict[str, int]
    stored: dict[str, int]
    same_as: dict[str, int]


def create(config: dict[str, Any], points: Sequence[PlannedPoint], worker_id: int | None) -> int:
    """Insert a sweep with the experiments that are to be made for it, all queued; return its id."""
    with writing() as session:
        stored = Sweep(name=config["name"], config=config)
        session.add(stored)
        session.flush()
        _add_points(session, stored.id, points, worker_id)
        return stored.id


def add_points(sweep_id: int, points: Sequence[PlannedPoint]) -> None:
    """Add what a sweep lacks, as ``create`` does."""
    with writing() as session:
        _add_points(session, sweep_id, points, None)


def _add_points(
    session: Session, sweep_id: int, points: Sequence[PlannedPoint], worker_id: int | None
) -> None:
    stands = {
        (row.point, row.strategy): row.run_id
        for row in session.scalars(select(SweepRun).where(SweepRun.sweep_id == sweep_id))
    }

    def add(point: int, strategy: str, run_id: int, *, reused: bool) -> None:
        stands[point, strategy] = run_id
        row = SweepRun(sweep_id=sweep_id, point=point, strategy=strategy)
        row.run_id, row.reused = run_id, reused
        session.merge(row)  # in place of a run that somebody has deleted

    for planned in points:
        made: list[Run] = []
        if planned.rounds:
            config = {**planned.config, "strategies": list(planned.rounds)}
            made = add_experiment(
                session, config, planned.rounds, worker_id, planned.resolved, planned.notes
            )
        for run in made:
            add(planned.point, run.strategy, run.id, reused=False)
        for strategy, run_id in planned.stored.items():
            add(planned.point, strategy, run_id, reused=True)
        for strategy, point in planned.same_as.items():
            add(planned.point, strategy, stands[point, strategy], reused=True)


def set_paused(sweep_id: int, paused: bool) -> bool:
    """Let no further run of a sweep begin, or let it go on; False where it is so already."""
    with writing() as session:
        changed = update(Sweep).where(Sweep.id == sweep_id, Sweep.paused != paused)
        return session.scalar(changed.values(paused=paused).returning(Sweep.id)) is not None


def sweep(sweep_id: int) -> Sweep:
    """Return one sweep; raises NoSuchSweep."""
    with reading() as session:
        stored = session.get(Sweep, sweep_id)
        if stored is None:
            raise NoSuchSweep(sweep_id)
        return stored


def sweeps(limit: int | None = None) -> list[Sweep]:
    """Return the sweeps, newest first."""
    with reading() as session:
        return list(session.scalars(select(Sweep).order_by(Sweep.id.desc()).limit(limit)))


def is_paused(sweep_id: int) -> bool:
    """Tell whether no further run of a sweep may begin."""
    with reading() as session:
        return bool(session.scalar(select(Sweep.paused).where(Sweep.id == sweep_id)))


def sweep_of(experiment_id: int) -> int | None:
    """Return the sweep for which an experiment was made; None for one of its own."""
    made = select(SweepRun.sweep_id).join(Run, Run.id == SweepRun.run_id)
    with reading() as session:
        of_it = made.where(Run.experiment_id == experiment_id, ~SweepRun.reused)
        return session.scalar(of_it.limit(1))


@dataclass(frozen=True, slots=True)
class PointRun:
    """The run that stands for a strategy at a point of a sweep, in short."""

    point: int
    strategy: str
    run: int
    experiment: int
    reused: bool
    status: str
    stop_requested: bool
    rounds: int
    rounds_done: int


def runs(sweep_id: int) -> list[PointRun]:
    """Return the runs of a sweep, by point, but those that somebody has deleted."""
    columns = (
        *(SweepRun.point, SweepRun.strategy, Run.id, Run.experiment_id, SweepRun.reused),
        *(Run.status, Run.stop_requested, Run.rounds, Run.rounds_done),
    )
    with reading() as session:
        of_it = select(*columns).join(Run, Run.id == SweepRun.run_id)
        of_it = of_it.where(SweepRun.sweep_id == sweep_id, Run.deleted_at.is_(None))
        of_it = of_it.order_by(SweepRun.point, Run.id)
        return [PointRun(*row) for row in session.execute(of_it)]


def stamp(sweep_id: int) -> tuple[Any, ...]:
    """Return what changes when a run of a sweep begins or ends, or somebody steers the sweep."""
    states = tuple((run.run, run.status, run.stop_requested) for run in runs(sweep_id))
    return is_paused(sweep_id), *states


def progress(sweep_id: int) -> Progress:
    """Return how far a sweep has come: in rounds of its own runs, and by the time these take."""
    own = [run for run in runs(sweep_id) if not run.reused]
    left: dict[int, int] = defaultdict(int)  # rounds, by experiment: its runs train together
    for run in own:
        if run.status in ALIVE:
            left[run.experiment] = max(left[run.experiment], run.rounds - run.rounds_done)
    missing = sum(run.rounds - run.rounds_done for run in own if run.status in ALIVE)
    done = sum(run.rounds_done for run in own)
    times = _seconds_of_a_round(sweep_id)
    if not missing:
        return Progress(done, done, 0.0)
    if not times:
        return Progress(done, done + missing, None)
    usual = median(times.values())
    seconds = sum(rounds * times.get(experiment, usual) for experiment, rounds in left.items())
    return Progress(done, done + missing, seconds)


def _seconds_of_a_round(sweep_id: int) -> dict[int, float]:
    """Return the mean time of a round by experiment, that of its slowest run."""
    columns = (Run.experiment_id, func.avg(Round.seconds))
    of_runs = select(*columns).join(Run, Run.id == Round.run_id)
    of_runs = of_runs.join(SweepRun, SweepRun.run_id == Run.id)
    own = of_runs.where(SweepRun.sweep_id == sweep_id, ~SweepRun.reused).group_by(Run.id)
    times: dict[int, float] = defaultdict(float)
    with reading() as session:
        for experiment, seconds in session.execute(own):
            times[experiment] = max(times[experiment], seconds)
    return times
