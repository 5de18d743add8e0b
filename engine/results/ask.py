"""Questions to trained models: what base, global and personalised answer about a picture."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from db import reads
from db.tables import Run
from engine.config import ExperimentConfig
from engine.data.dataset import Example
from engine.fl.client import Client
from engine.fl.evaluation import Task, generate
from engine.jobs.queue import NotPossible
from engine.jobs.stored import run_config
from engine.jobs.validate import resolved_of
from engine.metrics import is_right, metric_of
from engine.results.newest import at_newest
from engine.strategies import STRATEGIES
from engine.vlm.text_limits import TextLimits

_one_at_a_time = threading.Lock()  # the model holds one set of factors


@dataclass(frozen=True)
class VariantAnswer:
    """One variant's answer; ``source`` says in words which model it is."""

    variant: str
    source: str
    text: str
    confidence: float


def ask(run_id: int, client: int, image: np.ndarray, question: str) -> list[VariantAnswer]:
    """Return every variant's answer to one question about a picture (height, width, 3) uint8.

    ``global`` is the FedIT run of the same experiment where there is one, else the run's own view.
    Raises NoSuchRun, NotPossible.
    """
    run = usable_run(run_id, client)
    if not question.strip():
        raise NotPossible("question: write a question first")
    config = ExperimentConfig.parse(run.experiment.config)
    limits = TextLimits(config, resolved_of(run.experiment).model)
    if problem := limits.question_problem(question):
        raise NotPossible(f"question: {problem}")
    example = Example("asked", question.strip(), "", "", image=image)
    answers: list[VariantAnswer] = []
    for variant, (source_run, source) in sources(run).items():
        text, confidence = _answers(source_run, client, variant, [example])[0]
        answers.append(VariantAnswer(variant, source, text, confidence))
    return answers


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
    return [
        {
            "item": item.item,
            "question": item.question,
            "reference": item.answer,
            "answer": text,
            "confidence": round(confidence, 4),
            "score": metric.score(text, item.accepted),
            "correct": is_right(text, item.accepted),
        }
        for item, (text, confidence) in zip(
            items, _answers(run, client, variant, items), strict=True
        )
    ]


def sources(run: Run) -> dict[str, tuple[Run, str]]:
    """Return the run whose model answers for each variant, and its name for people."""
    own = STRATEGIES[run.strategy].variants
    answering = {"base": (run, "before any training")}
    fedit = [r for r in reads.runs_of(run.experiment_id) if r.strategy == "fedit" and r.rounds_done]
    if fedit:
        answering["global"] = (fedit[0], f"FedIT, run {fedit[0].id}")
    elif "global" in own:
        view = "the server's view, shared B with the common A₀"
        title = f"{STRATEGIES[run.strategy].title}, run {run.id}"
        answering["global"] = (run, view if run.strategy == "plora" else title)
    if "personal" in own:
        answering["personal"] = (run, f"{STRATEGIES[run.strategy].title}, run {run.id}")
    return answering


def usable_run(run_id: int, client: int) -> Run:
    """Return the run, if it has a finished round and this client. Raises NoSuchRun, NotPossible."""
    run = reads.run(run_id)
    clients = run.experiment.config["clients"]
    if not 0 <= client < clients:
        raise NotPossible(f"client: run {run_id} has clients 0 to {clients - 1}, not {client}")
    if run.rounds_done == 0 and STRATEGIES[run.strategy].variants:
        raise NotPossible(f"run {run_id} has no finished round yet; ask again after its first")
    return run


def _answers(
    run: Run, client: int, variant: str, examples: Sequence[Example]
) -> list[tuple[str, float]]:
    config = run_config(run)
    with _one_at_a_time:
        asked = Client(config, client)
        # While the model was loading, a live run may have gone on.
        factors = at_newest(config, lambda shared, last: asked.factors(variant, shared, last))
        task = Task(factors, asked.context.sets.encode(examples))
        [answers] = generate(asked.context.vlm, [task])
        return [(answer.text, answer.confidence) for answer in answers]
