"""How far an experiment has come, and how long it will take still."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from statistics import median

from sqlalchemy import select

from db.engine import reading
from db.reads import runs_of
from db.tables import ALIVE, Round, Run, now

_RECENT = 5  # rounds whose time says how long the next will take


@dataclass(frozen=True)
class Progress:
    """Rounds of all runs of an experiment: those that are done, and those that will be.

    A run that has ended early counts with the rounds that it has done. ``seconds_left``: for the
    rounds that are left, by the time that the last ones took; of a paused experiment, if it went
    on. None before the first round is measured.
    """

    done: int
    planned: int
    seconds_left: float | None

    @property
    def share(self) -> float:
        """The share that is done, from 0 to 1."""
        return self.done / self.planned if self.planned else 1.0


def progress(experiment_id: int) -> Progress:
    """Return how far an experiment has come."""
    runs = runs_of(experiment_id)
    alive = [run for run in runs if run.status in ALIVE]
    left = sum(run.rounds - run.rounds_done for run in alive)
    done = sum(run.rounds_done for run in runs)
    return Progress(done, done + left, _seconds_left(experiment_id, alive) if left else 0.0)


def _seconds_left(experiment_id: int, alive: list[Run]) -> float | None:
    """Return the time for what is left of live runs: what is at work together, then what waits."""
    rounds = _recent_rounds(experiment_id)
    if not rounds:
        return None
    usual = median(row.seconds for own in rounds.values() for row in own)
    times = {run.id: usual for run in alive}
    times |= {run: median(row.seconds for row in own) for run, own in rounds.items()}
    seconds: dict[bool, float] = defaultdict(float)  # by whether the run is at work
    at_work = {run.id for run in alive if run.status == "running"}
    for run in alive:
        missing = (run.rounds - run.rounds_done) * times[run.id]
        together = run.status == "running" or not at_work
        seconds[together] = max(seconds[together], missing)
    if ends := [row.finished_at for run in at_work for row in rounds.get(run, [])]:
        begun = (now() - max(ends)).total_seconds()
        seconds[True] -= min(begun, max(times[run] for run in at_work), seconds[True])
    return sum(seconds.values())


def _recent_rounds(experiment_id: int) -> dict[int, list[Round]]:
    recent = select(Round).join(Run, Run.id == Round.run_id)
    recent = recent.where(Run.experiment_id == experiment_id)
    rounds: dict[int, list[Round]] = defaultdict(list)
    with reading() as session:
        for row in session.scalars(recent.where(Round.round > Run.rounds_done - _RECENT)):
            rounds[row.run_id].append(row)
    return rounds
