"""The clients of a round at work together: what each would do alone, in as few passes as possible.

A cohort of one is a client alone: every runtime uses these functions, the ``local`` one with all
the clients that a round has sampled.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

from engine.adapters.factors import A, B, factor_of
from engine.fl.client import Client
from engine.fl.evaluation import Answer, EvalResult, Score, Task, answer, joined
from engine.fl.training import Job, train, train_together
from engine.strategies import Phase
from engine.vlm.encoded import EncodedBatch, concatenate, spans
from engine.vlm.lora import as_deltas
from engine.vlm.model import deltas_of
from engine.vlm.multi_lora.stacked import Factors, supports_stacking

Scores = dict[tuple[str, str], Score]  # by (variant, scope)


@dataclass(frozen=True)
class Trained:
    """What local training gives: the factors to send, and how it went.

    ``seconds`` is the client's share of the time that the cohort took; ``drift`` how far all A and
    all B factors moved in the first phase, ‖after − before‖.
    """

    shared: Factors
    loss: float
    samples: int
    seconds: float
    drift: dict[str, float]


class Cohort:
    """Some clients of one run, each with the shared factors that it was sent."""

    def __init__(self, sites: Sequence[Client], shared: Sequence[Factors]) -> None:
        self.sites = sites
        self.shared = shared
        self.context = sites[0].context
        self.variants = ("base", *sites[0].run.strategy.variants)

    def make_ready(self, *splits: str) -> None:
        """Make the data that this cohort will need."""
        wanted = [(site.number, split) for site in self.sites for split in splits]
        for _ in self.context.sets.make_ready(wanted):
            pass

    def scores(self, after_round: int) -> list[Scores]:
        """Every client's scores on its own and on the pooled test set.

        Before training B = 0, so that every variant is the base, bit for bit: it is scored once.
        Later the base is left out, for it stays as it is.
        """
        if after_round == 0:
            return [
                {
                    (variant, scope): score
                    for variant in self.variants
                    for scope, score in both.items()
                }
                for both in map(_both, self._examine("base", 0))
            ]
        found: list[Scores] = [{} for _ in self.sites]
        for variant in self.variants[1:]:
            for scores, examined in zip(found, self._examine(variant, after_round), strict=True):
                scores |= {(variant, s): score for s, score in _both(examined).items()}
        return found

    def final(self, after_round: int) -> list[tuple[Scores, dict[str, list[Answer]]]]:
        """Scores of all variants, and their answers to the own test set."""
        scores: list[Scores] = [{} for _ in self.sites]
        answers: list[dict[str, list[Answer]]] = [{} for _ in self.sites]
        for variant in self.variants:
            examined = self._examine(variant, after_round)
            written = self._answers(variant, after_round, examined)
            for k, both in enumerate(map(_both, examined)):
                scores[k] |= {(variant, scope): score for scope, score in both.items()}
                answers[k][variant] = written[k]
        return list(zip(scores, answers, strict=True))

    def train(self, round_: int) -> list[Trained]:
        """Train every client for one round, phase by phase; each stores what stays with it."""
        start = time.perf_counter()
        strategy = self.sites[0].run.strategy
        names = [name for name in self.context.vlm.factors if strategy.trains(name, round_)]
        sent: list[Factors] = [{} for _ in self.sites]
        losses: list[float] = []
        drifts: list[dict[str, float]] = []
        for phase in self.sites[0].phases:
            jobs = self._jobs(phase, round_)
            results = self._train_jobs(jobs, names)
            losses = losses or [loss for _, loss in results]
            drifts = drifts or [_drift(j.factors, r[0]) for j, r in zip(jobs, results, strict=True)]
            work = zip(self.sites, self.shared, sent, results, strict=True)
            for site, shared, own, (factors, _) in work:
                if phase.uploads:
                    own |= site.message(factors, shared, round_)
                if phase.persists:
                    site.keep(factors, round_)
        if not self.sites[0].phases:  # the server trains
            losses, drifts = [nan] * len(self.sites), [{A: 0.0, B: 0.0}] * len(self.sites)
        seconds = (time.perf_counter() - start) / len(self.sites)
        return [
            Trained(own, loss, len(self.context.sets.get(site.number, "train")), seconds, drift)
            for site, own, loss, drift in zip(self.sites, sent, losses, drifts, strict=True)
        ]

    def _jobs(self, phase: Phase, round_: int) -> list[Job]:
        scale = (1 - phase.mix_weight) * self.sites[0].run.config.lora.scale
        beside = {
            id(shared): as_deltas(self.context.initial | shared, scale) if phase.mix_weight else {}
            for shared in self.shared
        }
        return [
            site.job(phase, shared, beside[id(shared)], round_)
            for site, shared in zip(self.sites, self.shared, strict=True)
        ]

    def _train_jobs(self, jobs: list[Job], names: list[str]) -> list[tuple[Factors, float]]:
        config, vlm = self.sites[0].run.config, self.context.vlm
        how = {"batch_size": config.batch_size, "learning_rate": config.learning_rate}
        shifts = {tuple(map(id, deltas_of(job.factors).values())) for job in jobs}
        if len(jobs) > 1 and len(shifts) == 1 and supports_stacking(vlm):
            return train_together(vlm, jobs, names, **how)
        return [train(vlm, job, names, **how) for job in jobs]

    def _examine(self, variant: str, after_round: int) -> list[EvalResult]:
        """What one variant of every client makes of the client's tests."""
        if variant != "base":
            return self._examine_sites(variant, after_round, self.sites)
        known = self.context.base_marks
        new = [site for site in self.sites if site.number not in known]
        found = self._examine_sites("base", after_round, new)
        known |= {site.number: one for site, one in zip(new, found, strict=True)}
        return [known[site.number] for site in self.sites]

    def _examine_sites(
        self, variant: str, after_round: int, sites: Sequence[Client]
    ) -> list[EvalResult]:
        pooled = self.context.sets.pooled()
        groups = self._with_one_model(variant, sites)
        tasks = [self._task(variant, group, after_round, pooled) for group in groups]
        found: dict[int, EvalResult] = {}
        clients = [[site.number for site in group] for group in groups]
        judged = self.context.scored(tasks, clients, pooled=True)
        for group, (marks, answers) in zip(groups, judged, strict=True):
            rest = marks.cut(slice(-len(pooled), None)).score()
            for site, span in zip(group, self._spans(group), strict=True):
                found[site.number] = EvalResult(marks.cut(span), rest, tuple(answers[span]))
        return [found[site.number] for site in sites]

    def _answers(
        self, variant: str, after_round: int, examined: Sequence[EvalResult]
    ) -> list[list[Answer]]:
        if self.context.dataset.free_form:
            return [list(one.answers) for one in examined]
        found = self.context.base_answers if variant == "base" else {}
        own = {site.number: one.own for site, one in zip(self.sites, examined, strict=True)}
        groups = self._with_one_model(variant, [s for s in self.sites if s.number not in found])
        tasks = [self._task(variant, group, after_round) for group in groups]
        marks = [joined([own[site.number] for site in group]) for group in groups]
        for group, answers in zip(groups, answer(self.context.vlm, tasks, marks), strict=True):
            for site, span in zip(group, self._spans(group), strict=True):
                found[site.number] = answers[span]
        return [found[site.number] for site in self.sites]

    def _with_one_model(self, variant: str, sites: Sequence[Client]) -> list[list[Client]]:
        """Sites grouped by model: for ``base`` and ``global`` it is the same for many."""
        groups: dict[object, list[Client]] = {}
        for site in sites:
            sent = id(self._sent(site))
            model = {"base": 0, "global": sent}.get(variant, (sent, site.number))
            groups.setdefault(model, []).append(site)
        return list(groups.values())

    def _task(
        self, variant: str, group: Sequence[Client], after_round: int, *more: EncodedBatch
    ) -> Task:
        """The own test sets of all sites of a group, one after another, and more."""
        factors = group[0].factors(variant, self._sent(group[0]), after_round)
        return Task(factors, concatenate([*map(self._tests, group), *more]))

    def _spans(self, group: Sequence[Client]) -> list[slice]:
        return spans(map(self._tests, group))

    def _tests(self, site: Client) -> EncodedBatch:
        return self.context.sets.get(site.number, "test")

    def _sent(self, site: Client) -> Factors:
        return self.shared[self.sites.index(site)]


def _drift(before: Factors, after: Factors) -> dict[str, float]:
    squares = {A: 0.0, B: 0.0}
    for name, value in after.items():
        squares[factor_of(name)] += float((value - before[name]).square().sum())
    return {factor: square**0.5 for factor, square in squares.items()}


def _both(examined: EvalResult) -> dict[str, Score]:
    return {"own": examined.own.score(), "pooled": examined.pooled}
