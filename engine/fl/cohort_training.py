"""A round of local training for the clients of one or more runs, in as few passes as possible.

Clients that train the same factors share a pass over the frozen model, whatever run they are of: a
run's numbers are those of the run alone, up to rounding.
"""

from __future__ import annotations

import math
import time
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace

from engine.adapters.adapter import A, Adapter, B
from engine.fl.cohort import Cohort, make_ready
from engine.fl.interruption import interruption
from engine.fl.training import Job, train, train_together
from engine.strategies import Phase
from engine.system.faults import require_number
from engine.system.out_of_memory import is_out_of_memory
from engine.vlm.lora import Factors, as_deltas
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


def train_cohorts(cohorts: Sequence[Cohort]) -> list[list[Trained] | Exception]:
    """Train every client for its round, phase by phase; each stores what stays with it.

    For a cohort in which something went wrong, what that was; the others are not concerned. Raises
    what goes wrong with the pass itself, and StopRequested.
    """
    start = time.perf_counter()
    make_ready(cohorts, "train")
    rounds = [_Round(cohort, number) for number, cohort in enumerate(cohorts)]
    runs = frozenset(cohort.run.run for cohort in cohorts)
    for place in range(max(len(cohort.run.strategy.phases()) for cohort in cohorts)):
        at_work = [r for r in rounds if r.error is None and r.has_phase(place)]
        jobs = [r.jobs(place) for r in at_work]
        with interruption.working_for(runs):
            results = iter(_train_jobs(cohorts[0], [j for own in jobs for j in own]))
        for round_, own in zip(at_work, jobs, strict=True):
            round_.take(place, own, [next(results) for _ in own])
    seconds = (time.perf_counter() - start) / sum(len(cohort.clients) for cohort in cohorts)
    return [round_.trained(seconds) for round_ in rounds]


@dataclass(frozen=True)
class _NamedJob:
    """A job, the factors that it trains, and what it shares a pass with."""

    job: Job
    names: tuple[str, ...]

    @property
    def key(self) -> Hashable:
        return self.names, self.job.group


@dataclass
class _Round:
    """One cohort on its way through its phases; ``number`` tells it from the others."""

    cohort: Cohort
    number: int
    error: Exception | None = None
    sent: list[Factors] = field(init=False)
    first: list[tuple[float, float, float]] = field(default_factory=list)  # loss and drifts

    def __post_init__(self) -> None:
        self.sent = [Adapter() for _ in self.cohort.clients]
        strategy, factors = self.cohort.run.strategy, self.cohort.context.vlm.factors
        self._names = tuple(n for n in factors if strategy.trains(n, self.cohort.round))

    def has_phase(self, place: int) -> bool:
        return place < len(self.cohort.run.strategy.phases())

    def _phase(self, place: int) -> Phase:
        return self.cohort.run.strategy.phases()[place]

    def jobs(self, place: int) -> list[_NamedJob]:
        """Return what every client is to train in a phase."""
        cohort, phase = self.cohort, self._phase(place)
        scale = (1 - phase.mix_weight) * cohort.run.config.lora.scale
        beside = {
            group: as_deltas(cohort.context.initial | shared, scale)
            for group, shared in cohort.shared.items()
            if phase.mix_weight
        }
        jobs = []
        for client in cohort.clients:
            group = cohort.group(client)
            deltas = beside.get(group, Adapter())
            job = client.job(phase, cohort.sent(client), deltas, cohort.round, group)
            own = (self.number, job.group) if job.factors.has_deltas else 0
            jobs.append(_NamedJob(replace(job, group=own), self._names))
        return jobs

    def take(self, place: int, jobs: Sequence[_NamedJob], results: Sequence[Result]) -> None:
        """Keep and pack what came of a phase; what goes wrong is this cohort's alone."""
        phase = self._phase(place)
        try:
            for _, loss in results:
                require_number(loss, "the training loss", self.cohort.round)
            starts = [named.job.factors for named in jobs]
            self.first = self.first or [
                (loss, _drift(before, after, A), _drift(before, after, B))
                for before, (after, loss) in zip(starts, results, strict=True)
            ]
            work = zip(self.cohort.clients, self.sent, results, strict=True)
            for client, own, (factors, _) in work:
                if phase.uploads:
                    own |= client.message(factors, self.cohort.sent(client), self.cohort.round)
                if phase.persists and not interruption.is_stopped(self.cohort.run.run):
                    client.keep(factors, self.cohort.round)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            self.error = error

    def trained(self, seconds: float) -> list[Trained] | Exception:
        """Return what to send of every client, or what went wrong."""
        if self.error is not None:
            return self.error
        clients, sets = self.cohort.clients, self.cohort.context.sets
        first = self.first or [(math.nan, 0.0, 0.0)] * len(clients)  # the server trains
        samples = [len(sets.get(client.number, "train")) for client in clients]
        return [
            Trained(own, loss, n, seconds, drift_a, drift_b)
            for own, n, (loss, drift_a, drift_b) in zip(self.sent, samples, first, strict=True)
        ]


def _train_jobs(cohort: Cohort, jobs: Sequence[_NamedJob]) -> list[Result]:
    config, vlm = cohort.run.config, cohort.context.vlm
    size, rate = config.batch_size, config.learning_rate
    passes: dict[Hashable, list[int]] = {}
    for k, named in enumerate(jobs):
        passes.setdefault(named.key, []).append(k)
    results: dict[int, Result] = {}
    for members in passes.values():
        own, names = [jobs[k].job for k in members], jobs[members[0]].names
        if len(own) > 1 and supports_stacking(vlm):
            trained = train_together(vlm, own, names, batch_size=size, learning_rate=rate)
        else:
            trained = [train(vlm, j, names, batch_size=size, learning_rate=rate) for j in own]
        results |= dict(zip(members, trained, strict=True))
    return [results[k] for k in range(len(jobs))]


def _drift(before: Factors, after: Factors, factor: str) -> float:
    moved = after.only(factor).items()
    return sum(float((v - before[name]).square().sum()) for name, v in moved) ** 0.5
