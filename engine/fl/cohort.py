"""The clients of a round at work together: what each would do alone, in as few passes as possible.

A cohort of one is a client alone: every runtime uses these functions, the ``local`` one with all
the clients that a round has sampled.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan

from engine.adapters.adapter import A, Adapter, B
from engine.fl.client import Client
from engine.fl.evaluation import (
    Answer,
    EvalResult,
    Score,
    Task,
    WrittenAnswer,
    answer,
    concatenate_scores,
)
from engine.fl.training import Job, train, train_together
from engine.strategies import Phase
from engine.system.faults import require_number
from engine.vlm.encoded import EncodedBatch, concatenate, spans
from engine.vlm.lora import Factors, as_deltas
from engine.vlm.multi_lora.stacked import supports_stacking


@dataclass(frozen=True)
class Trained:
    """What local training gives: the factors to send, and how it went.

    ``seconds`` is the client's share of the time that the cohort took; ``drift_a`` and ``drift_b``
    how far all A and all B factors moved in the first phase, ‖after − before‖.
    """

    shared: Factors
    loss: float
    samples: int
    seconds: float
    drift_a: float
    drift_b: float


class Cohort:
    """Some clients of one run.

    The clients of a group were sent the same shared factors; ``groups`` has a number for every
    client, ``shared`` the factors by number.
    """

    def __init__(
        self, clients: Sequence[Client], groups: Sequence[int], shared: Mapping[int, Factors]
    ) -> None:
        self.clients = clients
        self.context = clients[0].context
        self.variants = ("base", *clients[0].run.strategy.variants)
        self._shared = shared
        self._group = {client.number: n for client, n in zip(clients, groups, strict=True)}

    def make_ready(self, *splits: str) -> None:
        """Make the data that this cohort will need."""
        sets = [(client.number, split) for client in self.clients for split in splits]
        for _ in self.context.sets.make_ready(sets):
            pass

    def scores(self, after_round: int) -> list[list[Score]]:
        """Score every client on its own and on the pooled test set.

        Before training B = 0, so that every variant is the base, bit for bit: it is scored once.
        Later the base is left out, for it stays as it is.
        """
        if after_round == 0:
            results = self._evaluate("base", 0)
            return [[s for v in self.variants for s in result.scores(v)] for result in results]
        scores: list[list[Score]] = [[] for _ in self.clients]
        for variant in self.variants[1:]:
            for own, result in zip(scores, self._evaluate(variant, after_round), strict=True):
                own += result.scores(variant)
        return scores

    def final(self, after_round: int) -> list[tuple[list[Score], list[WrittenAnswer]]]:
        """Score all variants, and answer the own test set by each."""
        scores: list[list[Score]] = [[] for _ in self.clients]
        answers: list[list[WrittenAnswer]] = [[] for _ in self.clients]
        for variant in self.variants:
            results = self._evaluate(variant, after_round)
            written = self._answers(variant, after_round, results)
            for k, result in enumerate(results):
                scores[k] += result.scores(variant)
                answers[k] += [
                    WrittenAnswer(variant, item, text.text, text.confidence)
                    for item, text in enumerate(written[k])
                ]
        return list(zip(scores, answers, strict=True))

    def train(self, round_: int) -> list[Trained]:
        """Train every client for one round, phase by phase; each stores what stays with it."""
        start = time.perf_counter()
        strategy = self.clients[0].run.strategy
        names = [name for name in self.context.vlm.factors if strategy.trains(name, round_)]
        sent: list[Factors] = [Adapter() for _ in self.clients]
        first: list[tuple[float, float, float]] = []  # loss and drifts of the first phase
        for phase in self.clients[0].phases:
            jobs = self._jobs(phase, round_)
            results = self._train_jobs(jobs, names)
            for _, loss in results:
                require_number(loss, "the training loss", round_)
            pairs = zip(jobs, results, strict=True)
            first = first or [
                (loss, _drift(job.factors, after.only(A)), _drift(job.factors, after.only(B)))
                for job, (after, loss) in pairs
            ]
            for client, own, (factors, _) in zip(self.clients, sent, results, strict=True):
                if phase.uploads:
                    own |= client.message(factors, self._sent(client), round_)
                if phase.persists:
                    client.keep(factors, round_)
        first = first or [(nan, 0.0, 0.0)] * len(self.clients)  # the server trains
        seconds = (time.perf_counter() - start) / len(self.clients)
        samples = [len(self.context.sets.get(client.number, "train")) for client in self.clients]
        return [
            Trained(own, loss, n, seconds, drift_a, drift_b)
            for own, n, (loss, drift_a, drift_b) in zip(sent, samples, first, strict=True)
        ]

    def _jobs(self, phase: Phase, round_: int) -> list[Job]:
        scale = (1 - phase.mix_weight) * self.clients[0].run.config.lora.scale
        beside = {
            group: as_deltas(self.context.initial | shared, scale)
            for group, shared in self._shared.items()
            if phase.mix_weight
        }
        jobs = []
        for client in self.clients:
            group = self._group[client.number]
            deltas = beside.get(group, Adapter())
            jobs.append(client.job(phase, self._shared[group], deltas, round_, group))
        return jobs

    def _train_jobs(self, jobs: list[Job], names: list[str]) -> list[tuple[Factors, float]]:
        config, vlm = self.clients[0].run.config, self.context.vlm
        size, rate = config.batch_size, config.learning_rate
        groups: dict[int, list[int]] = {}  # by what is added to the frozen weights
        for k, job in enumerate(jobs):
            groups.setdefault(job.group, []).append(k)
        results: dict[int, tuple[Factors, float]] = {}
        for members in groups.values():
            own = [jobs[k] for k in members]
            if len(own) > 1 and supports_stacking(vlm):
                trained = train_together(vlm, own, names, batch_size=size, learning_rate=rate)
            else:
                trained = [train(vlm, j, names, batch_size=size, learning_rate=rate) for j in own]
            results |= dict(zip(members, trained, strict=True))
        return [results[k] for k in range(len(jobs))]

    def _evaluate(self, variant: str, after_round: int) -> list[EvalResult]:
        """Test one variant of every client on the client's tests."""
        if variant != "base":
            results = self._evaluate_clients(variant, after_round, self.clients)
            return [results[client.number] for client in self.clients]
        known = self.context.base_scores
        new = [client for client in self.clients if client.number not in known]
        known |= self._evaluate_clients("base", after_round, new)
        return [known[client.number] for client in self.clients]

    def _evaluate_clients(
        self, variant: str, after_round: int, clients: Sequence[Client]
    ) -> dict[int, EvalResult]:
        pooled = self.context.sets.pooled()
        groups = self._with_one_model(variant, clients)
        tasks = [self._task(variant, group, after_round, pooled) for group in groups]
        numbers = [[client.number for client in group] for group in groups]
        judged = self.context.scored(tasks, numbers, pooled=True)
        results: dict[int, EvalResult] = {}
        for group, (scores, answers) in zip(groups, judged, strict=True):
            require_number(float(scores.loss.sum()), "the loss", after_round)
            rest = scores.select(slice(-len(pooled), None))
            for client, span in zip(group, self._spans(group), strict=True):
                own = scores.select(span)
                results[client.number] = EvalResult(own, rest, tuple(answers[span]))
        return results

    def _answers(
        self, variant: str, after_round: int, results: Sequence[EvalResult]
    ) -> list[list[Answer]]:
        if self.context.dataset.free_form:
            return [list(result.answers) for result in results]
        known = self.context.base_answers if variant == "base" else {}
        own = {c.number: result.own for c, result in zip(self.clients, results, strict=True)}
        groups = self._with_one_model(variant, [c for c in self.clients if c.number not in known])
        tasks = [self._task(variant, group, after_round) for group in groups]
        scores = [concatenate_scores([own[c.number] for c in group]) for group in groups]
        for group, answers in zip(groups, answer(self.context.vlm, tasks, scores), strict=True):
            for client, span in zip(group, self._spans(group), strict=True):
                known[client.number] = answers[span]
        return [known[client.number] for client in self.clients]

    def _with_one_model(self, variant: str, clients: Sequence[Client]) -> list[list[Client]]:
        """Group clients by model: for ``base`` and ``global`` it is the same for many."""
        if variant == "personal":
            return [[client] for client in clients]
        models: dict[int, list[Client]] = {}
        for client in clients:
            model = self._group[client.number] if variant == "global" else 0
            models.setdefault(model, []).append(client)
        return list(models.values())

    def _task(
        self, variant: str, group: Sequence[Client], after_round: int, *more: EncodedBatch
    ) -> Task:
        """Return the own test sets of all clients of a group, one after another, and more."""
        first = group[0]
        factors = first.factors(variant, self._sent(first), after_round)
        number = self._group[first.number] if factors.has_deltas else 0
        return Task(factors, concatenate([*map(self._tests, group), *more]), number)

    def _spans(self, group: Sequence[Client]) -> list[slice]:
        return spans(map(self._tests, group))

    def _tests(self, client: Client) -> EncodedBatch:
        return self.context.sets.get(client.number, "test")

    def _sent(self, client: Client) -> Factors:
        return self._shared[self._group[client.number]]


def _drift(before: Factors, after: Factors) -> float:
    return sum(float((v - before[name]).square().sum()) for name, v in after.items()) ** 0.5
