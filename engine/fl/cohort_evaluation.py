"""Tests after a round, for the clients of one or more runs, in as few passes as possible.

All variants of all runs are tested on a client's items in the same passes; the untouched base is
the same for all of them and scored once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from engine.fl.client import Client
from engine.fl.cohort import Cohort, make_ready
from engine.fl.context import ExperimentContext
from engine.fl.evaluation import (
    Answer,
    EvalResult,
    Score,
    Task,
    WrittenAnswer,
    answer,
    concatenate_scores,
)
from engine.fl.interruption import interruption
from engine.system.faults import require_number
from engine.system.out_of_memory import is_out_of_memory
from engine.vlm.encoded import EncodedBatch, concatenate, spans

Tested = tuple[list[Score], list[WrittenAnswer]]


def evaluate_cohorts(
    cohorts: Sequence[Cohort], answers: Sequence[bool]
) -> list[list[Tested] | Exception]:
    """Score the clients on their own and on the pooled test set; where wanted, with answers.

    Before training B = 0, so that every variant is the base, bit for bit: it is scored once. Later
    the base is left out, for it stays as it is; with answers, after the last round, all are there.
    For a cohort in which something went wrong, what that was. Raises what goes wrong with a pass
    itself, and StopRequested.
    """
    make_ready(cohorts, "test")
    runs = frozenset(cohort.run.run for cohort in cohorts)
    with interruption.working_for(runs):
        results = _evaluate(
            cohorts, [_variants(c, a) for c, a in zip(cohorts, answers, strict=True)]
        )
        final = [own for own, wanted in zip(results, answers, strict=True) if wanted]
        written = iter(_write(final))
    parts = [next(written) if wanted else {} for wanted in answers]
    return [_packed(own, texts) for own, texts in zip(results, parts, strict=True)]


@dataclass
class _Results:
    """What the variants of a cohort's clients make of their tests, by variant and client."""

    cohort: Cohort
    number: int  # tells the cohort from the others
    variants: dict[str, dict[int, EvalResult]]


def _variants(cohort: Cohort, answers: bool) -> tuple[str, ...]:
    if answers:
        return cohort.variants
    return cohort.variants[1:] if cohort.round else ("base",)


def _evaluate(cohorts: Sequence[Cohort], variants: Sequence[Sequence[str]]) -> list[_Results]:
    results = [_Results(cohort, number, {}) for number, cohort in enumerate(cohorts)]
    work: list[tuple[_Results, str, list[Client]]] = []
    base = cohorts[0].context.base_scores
    asked: set[int] = set()
    for own, names in zip(results, variants, strict=True):
        for variant in names:
            clients = list(own.cohort.clients)
            if variant == "base":
                clients = [c for c in clients if c.number not in base.keys() | asked]
                asked |= {c.number for c in clients}
            work += [(own, variant, g) for g in own.cohort.with_one_model(variant, clients)]
    pooled = cohorts[0].context.sets.pooled()
    tasks = [_task(own, variant, group, pooled) for own, variant, group in work]
    numbers = [[client.number for client in group] for _, _, group in work]
    judged = cohorts[0].context.scored(tasks, numbers, pooled=True)
    for (own, variant, group), (scores, answers) in zip(work, judged, strict=True):
        rest = scores.select(slice(-len(pooled), None))
        of_variant = base if variant == "base" else own.variants.setdefault(variant, {})
        for client, span in zip(group, _spans(own.cohort, group), strict=True):
            of_variant[client.number] = EvalResult(scores.select(span), rest, tuple(answers[span]))
    for own, names in zip(results, variants, strict=True):
        in_order = {name: own.variants.get(name, base) for name in names}
        own.variants = in_order
    return results


def _write(results: Sequence[_Results]) -> list[dict[str, dict[int, list[Answer]]]]:
    """Return the answers of every variant by client, for each of some cohorts."""
    if not results:
        return []
    context = results[0].cohort.context
    if context.dataset.free_form:  # they were written to be judged
        return [
            {v: {k: list(r.answers) for k, r in by.items()} for v, by in own.variants.items()}
            for own in results
        ]
    written: list[dict[str, dict[int, list[Answer]]]] = [{} for _ in results]
    work: list[tuple[_Results, dict[int, list[Answer]], str, list[Client]]] = []
    asked: set[int] = set()
    for own, texts in zip(results, written, strict=True):
        for variant in own.variants:
            clients = list(own.cohort.clients)
            into = texts.setdefault(variant, {})
            if variant == "base":
                into = texts["base"] = context.base_answers
                clients = [c for c in clients if c.number not in into.keys() | asked]
                asked |= {c.number for c in clients}
            groups = own.cohort.with_one_model(variant, clients)
            work += [(own, into, variant, group) for group in groups]
    _answer(context, work)
    return written


def _answer(
    context: ExperimentContext,
    work: Sequence[tuple[_Results, dict[int, list[Answer]], str, list[Client]]],
) -> None:
    tasks = [_task(own, variant, group) for own, _, variant, group in work]
    scores = [
        concatenate_scores([own.variants[variant][c.number].own for c in group])
        for own, _, variant, group in work
    ]
    for (own, into, _, group), texts in zip(work, answer(context.vlm, tasks, scores), strict=True):
        for client, span in zip(group, _spans(own.cohort, group), strict=True):
            into[client.number] = texts[span]


def _task(own: _Results, variant: str, group: Sequence[Client], *more: EncodedBatch) -> Task:
    """Return the own test sets of all clients of a group, one after another, and more."""
    cohort, first = own.cohort, group[0]
    factors = first.factors(variant, cohort.sent(first), cohort.round)
    deltas = (own.number, cohort.group(first)) if factors.has_deltas else 0
    return Task(factors, concatenate([*map(cohort.tests, group), *more]), deltas)


def _spans(cohort: Cohort, group: Sequence[Client]) -> list[slice]:
    return spans(map(cohort.tests, group))


def _packed(own: _Results, written: dict[str, dict[int, list[Answer]]]) -> list[Tested] | Exception:
    """Return every client's scores and answers; what goes wrong is this cohort's alone."""
    before = own.cohort.round == 0 and not written
    names = own.cohort.variants if before else tuple(own.variants)
    try:
        tested = []
        for client in own.cohort.clients:
            k = client.number
            results = [(v, own.variants["base" if before else v][k]) for v in names]
            scores = list(chain.from_iterable(result.scores(v) for v, result in results))
            for score in scores:
                require_number(score.loss, "the loss", own.cohort.round)
            answers = [
                WrittenAnswer(variant, item, text.text, text.confidence)
                for variant, by_client in written.items()
                for item, text in enumerate(by_client[k])
            ]
            tested.append((scores, answers))
        return tested
    except Exception as error:
        if is_out_of_memory(error):
            raise
        return error
