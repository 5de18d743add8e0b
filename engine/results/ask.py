"""Questions to trained models: what base, global and personalised answer about a picture.

A question travels to the client as a Flower query message and the answer comes back, as on
Flower's own engines; a client's personal factors never leave its folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from flwr.app import Message

from db import reads
from db.tables import Run
from engine.config import ExperimentConfig
from engine.data.dataset import Example
from engine.fl.client import Client
from engine.fl.context import context_of
from engine.fl.evaluation import Answer, Task, generate
from engine.fl.flower.asking import Question, content_of, grids_in, is_answered, said_in
from engine.fl.run_config import RunConfig
from engine.fl.runtimes import asking
from engine.fl.runtimes.execution import answering_questions
from engine.jobs.queue import NotPossible
from engine.jobs.stored import run_config
from engine.jobs.validate import resolved_of
from engine.metrics import is_right, metric_of
from engine.results.newest import TRIES, at_newest
from engine.results.variants import ClientAnswer, VariantAnswer, sources, variant_of
from engine.strategies import STRATEGIES
from engine.system.faults import RunFailed
from engine.system.out_of_memory import is_out_of_memory
from engine.vlm.text_limits import TextLimits

_WAIT_SECONDS = 60  # for sites that are away: somebody waits for the answer


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
    replies = _replies(run, asked, image, question)
    answers = []
    for key, own in asked.items():
        said = said_in(replies[own.run.id, client])[own.variant]
        answers.append(VariantAnswer(key, answering[key][1], said.text, said.confidence))
    return answers


def ask_clients(
    run_id: int, clients: Sequence[int], image: np.ndarray, question: str
) -> list[ClientAnswer]:
    """Return what each of these clients' own models answers. Raises NoSuchRun, NotPossible."""
    run = usable_run(run_id, max(clients, default=0))
    variant = STRATEGIES[run.strategy].deployed_variant()
    asked = {str(client): Asked(run, client, variant) for client in clients}
    replies = _replies(run, asked, image, question)
    said = [said_in(replies[run_id, client])[variant] for client in clients]
    return [
        ClientAnswer(client, answer.text, answer.confidence)
        for client, answer in zip(clients, said, strict=True)
    ]


def where_looked(
    run_id: int, client: int, image: np.ndarray, question: str
) -> dict[str, np.ndarray]:
    """Return every variant's attention on the picture while it answers, as a grid that sums to 1.

    Nothing for a model without cross-attention to the picture. Raises NoSuchRun, NotPossible.
    """
    run = usable_run(run_id, client)
    _, asked = _variants(run, client)
    replies = _replies(run, asked, image, question, looking=True)
    grids = {key: grids_in(replies[own.run.id, client]) for key, own in asked.items()}
    return {key: grids[key][own.variant] for key, own in asked.items() if own.variant in grids[key]}


def _variants(run: Run, client: int) -> tuple[dict[str, tuple[Run, str]], dict[str, Asked]]:
    """Return the sources of a run's variants, and whom to ask for each, by the same keys."""
    answering = sources(run)
    return answering, {
        key: Asked(own, client, variant_of(key)) for key, (own, _) in answering.items()
    }


def _replies(
    run: Run,
    asked: Mapping[str, Asked],
    image: np.ndarray,
    question: str,
    *,
    looking: bool = False,
) -> dict[tuple[int, int], Message]:
    """Send a question to clients of one experiment; return their replies by run and client.

    Their personal factors stay where they are. Raises NotPossible, and ConfigError where the model
    or the data are gone.
    """
    _check_question(run, question)
    variants: dict[tuple[int, int], list[str]] = {}
    for own in asked.values():
        variants.setdefault((own.run.id, own.client), []).append(own.variant)
    configs = {own.run.id: run_config(own.run) for own in asked.values()}
    replies: dict[tuple[int, int], Message] = {}
    for _ in range(TRIES):
        open_ = [key for key in variants if key not in replies]
        newest = {n: at_newest(configs[n], lambda *state: state) for n in {n for n, _ in open_}}
        questions = []
        for n, client in open_:
            text, (shared, last) = question.strip(), newest[n]
            content = content_of(image, text, variants[n, client], shared, last, looking=looking)
            questions.append(Question(configs[n], client, content))
        answered = zip(open_, _sent(configs[run.id], questions), strict=True)
        replies |= {key: reply for key, reply in answered if is_answered(reply)}
        if len(replies) == len(variants):
            return replies
    raise NotPossible(f"run {open_[0][0]}: the factors of client {open_[0][1]} are missing")


def _sent(run: RunConfig, questions: Sequence[Question]) -> list[Message]:
    """Return the replies to questions: of the sites, where a federation of them stands, or here.

    Raises NotPossible, and ConfigError where the model or the data are gone.
    """
    if run.config.runtime != "superlink":
        context_of(run.config, run.resolved)  # says what is wrong with the model or the data
    soon = run.config.flower.model_copy(update={"wait": _WAIT_SECONDS})
    config = run.config.model_copy(update={"flower": soon})
    try:
        with answering_questions(replace(run, config=config)) as answer:
            return asking.ask(questions, answer)
    except RunFailed as fault:
        if is_out_of_memory(fault):
            raise
        raise NotPossible(f"run {run.run}: {fault}") from None


def _check_question(run: Run, question: str) -> None:
    """Raise NotPossible where a question is none, or the model cannot read it."""
    if not question.strip():
        raise NotPossible("question: write a question first")
    config = ExperimentConfig.parse(run.experiment.config)
    limits = TextLimits(config, resolved_of(run.experiment).model)
    if problem := limits.question_problem(question):
        raise NotPossible(f"question: {problem}")


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
    answers = _answers(run, client, variant, items)
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


def _answers(run: Run, client: int, variant: str, examples: Sequence[Example]) -> list[Answer]:
    """Return what a variant of a client's model says, as of the run's newest round."""
    config = run_config(run)
    asked = Client(config, client)
    factors = at_newest(config, lambda shared, last: asked.factors(variant, shared, last))
    [answers] = generate(asked.context.vlm, [Task(factors, asked.context.sets.encode(examples))])
    return answers
