"""A round of local training for the clients of one or more runs, in as few passes as possible.

Clients that train the same factors share a pass over the frozen model, whatever run they are of: a
run's numbers are those of the run alone, up to rounding.
"""

from __future__ import annotations

import math
import time
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

from engine.adapters.adapter import A, Adapter, B
from engine.fl.cohort import Cohort, make_ready
from engine.fl.deciding import decide
from engine.fl.training import Job, train, train_together
from engine.system.faults import require_number
from engine.vlm.lora import Factors
from engine.vlm.multi_lora.stacked import supports_stacking

Result = tuple[Factors, float]  # what was trained, and the mean loss


@dataclass(frozen=True)
class Trained:
    """What local training gives: the factors to send, and how it went.

    ``seconds`` is the client's share of the time that all cohorts took; ``drift_a`` and ``drift_b``
    how far all A and all B factors moved in the first phase, ‖after − before‖.
    """

    shared: Factors
    loss: float
    samples: int
    seconds: float
    drift_a: float
    drift_b: float


def train_cohorts(cohorts: Sequence[Cohort]) -> list[list[Trained]]:
    """Train every client for its round, phase by phase; each stores what stays with it.

    The cohorts are of one experiment, each of another run. Raises StopRequested.
    """
    start = time.perf_counter()
    make_ready(cohorts, "train")
    decide(cohorts, rounds_ago=1)
    rounds = [_Round(cohort) for cohort in cohorts]
    for place in range(max(round_.phases for round_ in rounds)):
        at_work = [round_ for round_ in rounds if place < round_.phases]
        jobs = [round_.jobs(place) for round_ in at_work]
        results = iter(_train_jobs(cohorts[0], [job for own in jobs for job in own]))
        for round_, own in zip(at_work, jobs, strict=True):
            round_.take(place, own, [next(results) for _ in own])
    seconds = (time.perf_counter() - start) / sum(len(cohort.clients) for cohort in cohorts)
    return [round_.trained(seconds) for round_ in rounds]


@dataclass(frozen=True)
class _NamedJob:
    """A job, and the names of the factors that it trains."""

    job: Job
    names: tuple[str, ...]

    @property
    def shares_with(self) -> Hashable:
        """What jobs of one pass have in common."""
        return self.names, self.job.group


class _Round:
    """One cohort on its way through the phases of its round."""

    def __init__(self, cohort: Cohort) -> None:
        strategy, factors = cohort.run.strategy, cohort.context.vlm.factors
        self._cohort = cohort
        self._phases = strategy.phases()
        self._names = tuple(name for name in factors if strategy.trains(name, cohort.round))
        self._sent: list[Factors] = [Adapter() for _ in cohort.clients]
        self._first: list[tuple[float, float, float]] = []  # loss and drifts of the first phase

    @property
    def phases(self) -> int:
        return len(self._phases)

    def jobs(self, place: int) -> list[_NamedJob]:
        """Return what every client is to train in a phase."""
        cohort, phase = self._cohort, self._phases[place]
        jobs = []
        for client in cohort.clients:
            job = client.job(phase, cohort.sent(client), cohort.round, cohort.group(client))
            if job.factors.has_deltas:  # which no other run has
                job = replace(job, group=(cohort.run.run, job.group))
            jobs.append(_NamedJob(job, self._names))
        return jobs

    def take(self, place: int, jobs: Sequence[_NamedJob], results: Sequence[Result]) -> None:
        """Keep and pack what came of a phase. Raises RunFailed where a loss is not a number."""
        phase, cohort = self._phases[place], self._cohort
        for _, loss in results:
            require_number(loss, "the training loss", cohort.round)
        starts = [named.job.factors for named in jobs]
        self._first = self._first or [
            (loss, _drift(before, after.only(A)), _drift(before, after.only(B)))
            for before, (after, loss) in zip(starts, results, strict=True)
        ]
        work = zip(cohort.clients, self._sent, results, strict=True)
        for client, own, (factors, _) in work:
            if phase.uploads:
                own |= client.message(factors, cohort.sent(client), cohort.round)
            if phase.persists:
                client.keep(factors, cohort.round)

    def trained(self, seconds: float) -> list[Trained]:
        """Return what to send of every client."""
        clients, sets = self._cohort.clients, self._cohort.context.sets
        first = self._first or [(math.nan, 0.0, 0.0)] * len(clients)  # the server trains
        samples = [len(sets.get(client.number, "train")) for client in clients]
        return [
            Trained(own, loss, n, seconds, drift_a, drift_b)
            for own, n, (loss, drift_a, drift_b) in zip(self._sent, samples, first, strict=True)
        ]


def _train_jobs(cohort: Cohort, jobs: Sequence[_NamedJob]) -> list[Result]:
    """Return what comes of jobs of one experiment, which ``cohort`` is of, in their order."""
    config, vlm = cohort.run.config, cohort.context.vlm
    size, rate = config.batch_size, config.learning_rate
    passes: dict[Hashable, list[int]] = {}
    for k, named in enumerate(jobs):
        passes.setdefault(named.shares_with, []).append(k)
    results: dict[int, Result] = {}
    for members in passes.values():
        own, names = [jobs[k].job for k in members], jobs[members[0]].names
        if len(own) > 1 and supports_stacking(vlm):
            trained = train_together(vlm, own, names, batch_size=size, learning_rate=rate)
        else:
            trained = [train(vlm, j, names, batch_size=size, learning_rate=rate) for j in own]
        results |= dict(zip(members, trained, strict=True))
    return [results[k] for k in range(len(jobs))]


def _drift(before: Factors, after: Factors) -> float:
    return sum(float((v - before[name]).square().sum()) for name, v in after.items()) ** 0.5
