"""Tests after a round, for the clients of one or more runs, in as few passes as possible.

All variants of all runs are tested on a client's items in the same passes; the untouched base is
the same for all of them and scored once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from engine.fl.client import Client
from engine.fl.cohort import Cohort, make_ready
from engine.fl.deciding import decide
from engine.fl.evaluation import (
    Answer,
    EvalResult,
    Score,
    Task,
    WrittenAnswer,
    answer,
    concatenate_scores,
)
from engine.system.faults import require_number
from engine.vlm.encoded import EncodedBatch, concatenate, spans

Tested = tuple[list[Score], list[WrittenAnswer]]
_ByVariant = dict[str, dict[int, EvalResult]]  # what a client's variants make of its tests
_Texts = dict[str, dict[int, list[Answer]]]


def evaluate_cohorts(cohorts: Sequence[Cohort], answers: Sequence[bool]) -> list[list[Tested]]:
    """Score the clients on their own and on the pooled test set; where wanted, with answers.

    Before training B = 0, so that every variant is the base, bit for bit: it is scored once. Later
    the base is left out, for it stays as it is; with answers, after the last round, all are there.
    The cohorts are of one experiment, each of another run. Raises RunFailed where a loss is not a
    number, and StopRequested.
    """
    make_ready(cohorts, "test")
    decide(cohorts, rounds_ago=0)
    variants = [_variants(cohort, own) for cohort, own in zip(cohorts, answers, strict=True)]
    results = _evaluate(cohorts, variants)
    asked = [names if own else () for names, own in zip(variants, answers, strict=True)]
    texts = _write(cohorts, asked, results)
    return [_packed(*of_run) for of_run in zip(cohorts, variants, results, texts, strict=True)]


def _variants(cohort: Cohort, answers: bool) -> tuple[str, ...]:
    if answers:
        return cohort.variants
    return cohort.variants[1:] if cohort.round else ("base",)


@dataclass(frozen=True)
class _Group:
    """Clients of a cohort for whom a variant is the same model; ``place``: the cohort's."""

    place: int
    cohort: Cohort
    variant: str
    clients: Sequence[Client]

    def task(self, *more: EncodedBatch) -> Task:
        """Return the own test sets of all clients, one after another, and more."""
        cohort, first = self.cohort, self.clients[0]
        factors = first.factors(self.variant, cohort.sent(first), cohort.round)
        deltas = (cohort.run.run, cohort.group(first)) if factors.has_deltas else 0
        return Task(factors, concatenate([*map(cohort.tests, self.clients), *more]), deltas)

    @property
    def spans(self) -> list[tuple[Client, slice]]:
        """Every client with its rows of the task."""
        rows = spans(map(self.cohort.tests, self.clients))
        return list(zip(self.clients, rows, strict=True))


def _groups(
    cohorts: Sequence[Cohort], variants: Sequence[Sequence[str]], known: Collection[int]
) -> list[_Group]:
    """Return who is tested with which model; not the base of clients for whom it is known."""
    groups = []
    of_base = set(known)
    for place, (cohort, names) in enumerate(zip(cohorts, variants, strict=True)):
        for variant in names:
            clients = list(cohort.clients)
            if variant == "base":
                clients = [client for client in clients if client.number not in of_base]
                of_base |= {client.number for client in clients}
            models = cohort.with_one_model(variant, clients)
            groups += [_Group(place, cohort, variant, own) for own in models]
    return groups


def _evaluate(cohorts: Sequence[Cohort], variants: Sequence[Sequence[str]]) -> list[_ByVariant]:
    context = cohorts[0].context
    base, pooled = context.base_scores, context.sets.pooled()
    groups = _groups(cohorts, variants, base)
    numbers = [[client.number for client in group.clients] for group in groups]
    judged = context.scored([group.task(pooled) for group in groups], numbers, pooled=True)
    results: list[_ByVariant] = [defaultdict(dict, base=base) for _ in cohorts]
    for group, (scores, answers) in zip(groups, judged, strict=True):
        require_number(float(scores.loss.sum()), "the loss", group.cohort.round)
        rest = scores.select(slice(-len(pooled), None))
        for client, span in group.spans:
            result = EvalResult(scores.select(span), rest, tuple(answers[span]))
            results[group.place][group.variant][client.number] = result
    return results


def _write(
    cohorts: Sequence[Cohort], variants: Sequence[Sequence[str]], results: Sequence[_ByVariant]
) -> list[_Texts]:
    """Return the answers of these variants of every cohort's clients."""
    context = cohorts[0].context
    if context.dataset.free_form:  # they were written to be judged
        return [
            {v: {k: list(result.answers) for k, result in own[v].items()} for v in names}
            for names, own in zip(variants, results, strict=True)
        ]
    groups = _groups(cohorts, variants, context.base_answers)
    scores = [
        concatenate_scores([results[g.place][g.variant][c.number].own for c in g.clients])
        for g in groups
    ]
    texts: list[_Texts] = [defaultdict(dict, base=context.base_answers) for _ in cohorts]
    written = answer(context.vlm, [group.task() for group in groups], scores)
    for group, answers in zip(groups, written, strict=True):
        for client, span in group.spans:
            texts[group.place][group.variant][client.number] = answers[span]
    return [{v: own[v] for v in names} for names, own in zip(variants, texts, strict=True)]


def _packed(
    cohort: Cohort, tested: Sequence[str], results: _ByVariant, texts: _Texts
) -> list[Tested]:
    """Return every client's scores and answers."""
    model_of = {variant: variant for variant in tested}
    if tested == ("base",):
        model_of = dict.fromkeys(cohort.variants, "base")
    packed = []
    chooses = cohort.round > 0 and bool(cohort.run.strategy.corners)
    for client in cohort.clients:
        k = client.number
        corner = client.decision(cohort.round).corner if chooses else ""
        scores = [
            score
            for variant, model in model_of.items()
            for score in results[model][k].scores(variant, corner if model == "personal" else "")
        ]
        answers = [
            WrittenAnswer(variant, item, text.text, text.confidence)
            for variant, by_client in texts.items()
            for item, text in enumerate(by_client[k])
        ]
        packed.append((scores, answers))
    return packed
