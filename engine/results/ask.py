"""Questions to trained models: what base, global and personalised answer about a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from db import reads
from db.tables import Run
from engine.config import ExperimentConfig
from engine.data.dataset import Example
from engine.fl.client import Client
from engine.fl.context import ExperimentContext, context_of
from engine.fl.evaluation import Answer, Task, generate, look
from engine.jobs.queue import NotPossible
from engine.jobs.stored import run_config
from engine.jobs.validate import resolved_of
from engine.metrics import is_right, metric_of
from engine.results.newest import at_newest
from engine.results.variants import ClientAnswer, VariantAnswer, sources, variant_of
from engine.strategies import STRATEGIES
from engine.vlm.lora import Factors
from engine.vlm.text_limits import TextLimits


class Asked(NamedTuple):
    """A model to be asked: a run, one of its clients, and the variant."""

    run: Run
    client: int
    variant: str


def ask(run_id: int, client: int, image: np.ndarray, question: str) -> list[VariantAnswer]:
    """Return every variant's answer to one question about a picture (height, width, 3) uint8.

    Raises NoSuchRun, NotPossible.
    """
    run = usable_run(run_id, client)
    answering, asked = _variants(run, client)
    answers = _answers(asked, [_example(run, image, question)])
    return [
        VariantAnswer(key, said, answer.text, answer.confidence)
        for (key, (_, said)), [answer] in zip(answering.items(), answers, strict=True)
    ]


def ask_clients(
    run_id: int, clients: Sequence[int], image: np.ndarray, question: str
) -> list[ClientAnswer]:
    """Return what each of these clients' own models answers. Raises NoSuchRun, NotPossible."""
    run = usable_run(run_id, max(clients, default=0))
    variant = STRATEGIES[run.strategy].deployed_variant()
    asked = [Asked(run, client, variant) for client in clients]
    answers = _answers(asked, [_example(run, image, question)])
    return [
        ClientAnswer(client, answer.text, answer.confidence)
        for client, [answer] in zip(clients, answers, strict=True)
    ]


def where_looked(
    run_id: int, client: int, image: np.ndarray, question: str
) -> dict[str, np.ndarray]:
    """Return every variant's attention on the picture while it answers, as a grid that sums to 1.

    Nothing for a model without cross-attention to the picture. Raises NoSuchRun, NotPossible.
    """
    run = usable_run(run_id, client)
    answering, asked = _variants(run, client)
    context, tasks = _tasks(asked, [_example(run, image, question)])
    grids = look(context.vlm, tasks)
    return {key: grid for key, grid in zip(answering, grids, strict=True) if grid is not None}


def _variants(run: Run, client: int) -> tuple[dict[str, tuple[Run, str]], list[Asked]]:
    """Return the sources of a run's variants, and their models of a client, in the same order."""
    answering = sources(run)
    return answering, [Asked(own, client, variant_of(key)) for key, (own, _) in answering.items()]


def _example(run: Run, image: np.ndarray, question: str) -> Example:
    """Check a question against what the model can read. Raises NotPossible."""
    if not question.strip():
        raise NotPossible("question: write a question first")
    config = ExperimentConfig.parse(run.experiment.config)
    limits = TextLimits(config, resolved_of(run.experiment).model)
    if problem := limits.question_problem(question):
        raise NotPossible(f"question: {problem}")
    return Example("asked", question.strip(), "", "", image=image)


def predict(run_id: int, client: int, variant: str) -> list[dict[str, object]]:
    """Answer the client's test set with a variant; with reference and right or wrong.

    Raises NoSuchRun, NotPossible.
    """
    run = usable_run(run_id, client)
    allowed = ("base", *STRATEGIES[run.strategy].variants)
    if variant not in allowed:
        raise NotPossible(
            f"variant: run {run_id} ({run.strategy}) has no '{variant}' model; "
            f"allowed: {', '.join(allowed)}"
        )
    config = run_config(run)
    items = Client(config, client).context.dataset.examples(client, "test")
    metric = metric_of(config.config.data.metric)
    [answers] = _answers([Asked(run, client, variant)], items)
    return [
        {
            "item": item.item,
            "question": item.question,
            "reference": item.answer,
            "answer": answer.text,
            "confidence": round(answer.confidence, 4),
            "score": metric.score(answer.text, item.accepted),
            "correct": is_right(answer.text, item.accepted),
        }
        for item, answer in zip(items, answers, strict=True)
    ]


def usable_run(run_id: int, client: int) -> Run:
    """Return the run, if it has a finished round and this client. Raises NoSuchRun, NotPossible."""
    run = reads.run(run_id)
    clients = run.experiment.config["clients"]
    if not 0 <= client < clients:
        raise NotPossible(f"client: run {run_id} has clients 0 to {clients - 1}, not {client}")
    if run.rounds_done == 0 and STRATEGIES[run.strategy].variants:
        raise NotPossible(f"run {run_id} has no finished round yet; ask again after its first")
    return run


def _answers(asked: Sequence[Asked], examples: Sequence[Example]) -> list[list[Answer]]:
    context, tasks = _tasks(asked, examples)
    return generate(context.vlm, tasks)


def _tasks(
    asked: Sequence[Asked], examples: Sequence[Example]
) -> tuple[ExperimentContext, list[Task]]:
    """Give the same examples to models of one experiment, each run's as of its newest round."""
    config = run_config(asked[0].run)
    context = context_of(config.config, config.resolved)
    samples = context.sets.encode(examples)
    # While the model was loading, a live run may have gone on.
    factors: dict[Asked, Factors] = {}
    for run in {own.run.id: own.run for own in asked}.values():
        mine = [own for own in asked if own.run.id == run.id]
        factors |= zip(mine, _newest(mine), strict=True)
    groups = [n if factors[own].has_deltas else -1 for n, own in enumerate(asked)]
    tasks = [Task(factors[own], samples, group) for own, group in zip(asked, groups, strict=True)]
    return context, tasks


def _newest(asked: Sequence[Asked]) -> list[Factors]:
    config = run_config(asked[0].run)
    clients = [Client(config, own.client) for own in asked]
    return at_newest(
        config,
        lambda shared, last: [
            client.factors(own.variant, shared, last)
            for client, own in zip(clients, asked, strict=True)
        ],
    )
