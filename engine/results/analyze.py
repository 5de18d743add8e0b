"""What a finished federation is good for: whom its models serve, and what they give a newcomer.

Each analysis is a generator: it yields the share that is done after each piece of about a second,
so that a question can be answered in between, and returns the result.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from engine.adapters.adapter import A, factor_of
from engine.config import WORLD
from engine.fl.client import Client
from engine.fl.context import context_of
from engine.fl.evaluation import Task, score_teacher_forced
from engine.fl.participation import tested
from engine.fl.training import Job, train_together
from engine.jobs.queue import NotPossible
from engine.jobs.stored import run_config
from engine.results.ask import usable_run
from engine.results.newest import at_newest
from engine.strategies import STRATEGIES
from engine.system.seeding import rng
from engine.vlm.encoded import concatenate, spans
from engine.vlm.lora import Factors

NEWCOMER_SAMPLES = (4, 16, 64)
NEWCOMER_STEPS = 40
_TOGETHER = 4  # models that are tested in one piece
Result = TypeVar("Result")


@dataclass(frozen=True)
class CrossMatrix:
    """The accuracy of client i's model (row) on client j's test set (column)."""

    clients: list[int]
    accuracy: list[list[float]]


@dataclass(frozen=True)
class Likeness:
    """By factor ("lora_A"), the cosine between what client i and client j have learnt."""

    clients: list[int]
    cosines: dict[str, list[list[float]]]


@dataclass(frozen=True)
class Newcomer:
    """Accuracies on the newcomer's own test set, untrained and after so many samples."""

    camera: str
    base: float
    shared: float
    from_base: dict[int, float]
    from_shared: dict[int, float]


def cross_matrix(run_id: int) -> Generator[float, None, CrossMatrix]:
    """Test the model of every tested client on the test sets of all of them.

    A client's model is its personalised one, or the global one where there is none. Raises
    NoSuchRun, NotPossible.
    """
    run = usable_run(run_id, 0)
    variant = STRATEGIES[run.strategy].deployed_variant()
    config = run_config(run)
    context = context_of(config.config, config.resolved)
    clients = tested(config.config)
    tests = []
    for k in clients:
        tests.append(context.sets.get(k, "test"))
        yield len(tests) / (5 * len(clients))
    everyone, parts = concatenate(tests), spans(tests)
    ends = at_newest(
        config,
        lambda sent, last: [Client(config, k).factors(variant, sent, last) for k in clients],
    )
    rows: list[list[float]] = []
    for start in range(0, len(ends), _TOGETHER):
        tasks = [Task(factors, everyone) for factors in ends[start : start + _TOGETHER]]
        judged = context.scored(tasks, [clients] * len(tasks))
        rows += [[scores.select(part).accuracy for part in parts] for scores, _ in judged]
        yield (len(clients) + 4 * len(rows)) / (5 * len(clients))
    return CrossMatrix(clients, rows)


def newcomer(run_id: int) -> Generator[float, None, Newcomer]:
    """Let one more client, which the federation has never met, join with what the server shares.

    It adapts both factors, NEWCOMER_STEPS steps on 4, 16 and 64 samples of its own, from the shared
    model and, to compare, from the base. Raises NoSuchRun, NotPossible.
    """
    run = usable_run(run_id, 0)
    stored = run_config(run)
    config = stored.config
    if config.dataset != WORLD:
        raise NotPossible(f"run {run_id} has only the clients of its data; nobody new can join")
    if config.heterogeneity.kind == "quantity":
        raise NotPossible(
            f"run {run_id} differs in amounts: one more client would change those of the others"
        )
    if not STRATEGIES[run.strategy].shared_factors:
        raise NotPossible(f"run {run_id} ({run.strategy}) shares nothing with a newcomer")
    samples = max(config.samples_per_client, NEWCOMER_SAMPLES[-1])
    values = {"clients": config.clients + 1, "samples_per_client": samples}
    context = context_of(config.model_copy(update=values))
    k = config.clients
    train, test = context.sets.get(k, "train"), context.sets.get(k, "test")
    shared = at_newest(stored, lambda sent, _: sent)
    base, met = context.initial, context.initial | shared

    def accuracies(adapters: list[Factors]) -> list[float]:
        tasks = [Task(factors, test) for factors in adapters]
        return [scores.accuracy for scores in score_teacher_forced(context.vlm, tasks)]

    def adapted(start: Factors, n: int) -> Factors:
        job = Job(start, train.select(slice(0, n)), NEWCOMER_STEPS, rng(config.seed, "newcomer", n))
        [(factors, _)] = train_together(
            context.vlm,
            [job],
            list(context.vlm.factors),
            batch_size=config.batch_size,
            learning_rate=config.learning_rate,
        )
        return start | factors

    yield 0.1
    ends: list[Factors] = []
    for start in (base, met):
        for n in NEWCOMER_SAMPLES:
            ends.append(adapted(start, n))
            yield 0.1 + 0.8 * len(ends) / (2 * len(NEWCOMER_SAMPLES))
    from_nothing, from_others, *after = accuracies([base, met, *ends])
    return Newcomer(
        context.dataset.profile(k).camera,
        from_nothing,
        from_others,
        dict(zip(NEWCOMER_SAMPLES, after, strict=False)),
        dict(zip(NEWCOMER_SAMPLES, after[len(NEWCOMER_SAMPLES) :], strict=True)),
    )


def likeness(run_id: int) -> Generator[float, None, Likeness]:
    """Compare what the clients keep to themselves: the cosine of how far they have come from A₀.

    Raises NoSuchRun, and NotPossible where clients keep nothing.
    """
    run = usable_run(run_id, 0)
    kept = STRATEGIES[run.strategy].personal_factors
    if not kept:
        raise NotPossible(
            f"run {run_id} ({run.strategy}) keeps nothing at its clients: all use one model"
        )
    config = run_config(run)
    context = context_of(config.config, config.resolved)
    clients = tested(config.config)
    yield 0.2
    ends = at_newest(
        config,
        lambda sent, last: [Client(config, k).factors("personal", sent, last) for k in clients],
    )
    yield 0.8
    start = context.initial
    return Likeness(
        clients,
        {factor: _cosines([_change(end, start, factor) for end in ends]) for factor in kept},
    )


def _change(end: Factors, start: Factors, factor: str) -> np.ndarray:
    """Return all that a client has changed of one kind of factors as one vector.

    Of two adapters side by side (``side_by_side``) the client's own is the second.
    """
    names = sorted(name for name in start if factor_of(name) == factor)
    rank, of_rank = start.rank, 0 if factor == A else 1
    own = {name: end[name].narrow(of_rank, end.rank - rank, rank) for name in names}
    return np.concatenate([(own[name] - start[name]).numpy().ravel() for name in names])


def _cosines(vectors: list[np.ndarray]) -> list[list[float]]:
    lengths = [float(np.linalg.norm(vector)) or 1.0 for vector in vectors]
    return [
        [float(u @ v) / (a * b) for v, b in zip(vectors, lengths, strict=True)]
        for u, a in zip(vectors, lengths, strict=True)
    ]


def complete(steps: Generator[float, None, Result]) -> Result:
    """Take an analysis to its end and return the result."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
