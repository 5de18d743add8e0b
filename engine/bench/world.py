"""The measurement of world and model: ``python -m engine bench world --seed N --json``.

All on pictures drawn from the seed: what the model knows of the neutral world, with and without
seeing; what it loses at fully shifted sites and what a LoRA regains there; and whether the dial of
heterogeneity moves the clients apart.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import mean, median
from typing import get_args

import numpy as np
import torch

from engine.config import ExperimentConfig, HeterogeneityKind, Lora
from engine.data.distance import distance
from engine.data.synthetic.questions import FAMILIES, Question, ask
from engine.data.synthetic.scenes import SIZE, Scenes, render, sample_scenes
from engine.fl.context import context_of
from engine.fl.evaluation import Task, generate, score_teacher_forced
from engine.fl.training import Job, train_together
from engine.paths import BUNDLED_MODEL
from engine.system.seeding import rng
from engine.vlm import loading
from engine.vlm.encoded import concatenate
from engine.vlm.lora import Factors
from engine.vlm.model import Vlm
from engine.vlm.resolved import resolve_model

QUESTIONS = 2700  # neutral ones, about as many of each family
LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)
CLIENTS = 8  # one for each camera and vocabulary
CLIENT_SAMPLES = 1024
LOCAL_STEPS = 400
SKILL_SAMPLES = 32
SKILL_STEPS = 150
_BATCH = 32
_BLANK = 190  # grey, about as bright as an empty bin


@dataclass(frozen=True)
class WorldReport:
    """The figures; accuracies are shares of exact matches of generated answers."""

    overall: float
    families: dict[str, float]
    blind: float
    model_mb: float
    ms_per_question: float
    shifted_base: float
    shifted_local: float
    skill_base: float
    skill_local: float
    skill_together: float
    distance: dict[str, list[float]]


def measure(seed: int) -> WorldReport:
    """Run all parts, several minutes on 2 CPU cores."""
    vlm = loading.load(ExperimentConfig(), resolve_model(ExperimentConfig()))
    vlm.load_factors(context_of(ExperimentConfig()).initial)
    seeing = neutral_accuracy(vlm, seed)
    return WorldReport(
        overall=seeing.pop("overall"),
        families=seeing,
        blind=neutral_accuracy(vlm, seed, blind=True)["overall"],
        model_mb=sum(f.stat().st_size for f in BUNDLED_MODEL.iterdir()) / 1e6,
        ms_per_question=milliseconds_per_question(vlm, seed),
        **shifted_accuracy(seed),
        **skill_accuracy(seed),
        distance={kind: distances(seed, kind) for kind in get_args(HeterogeneityKind)},
    )


def accuracy_of(folder: str, seed: int) -> dict[str, float]:
    """Return ``neutral_accuracy`` of the model in a folder."""
    return neutral_accuracy(loading.load_from(folder, Lora(), "cpu"), seed)


def neutral_accuracy(
    vlm: Vlm, seed: int, *, blind: bool = False, n: int = QUESTIONS
) -> dict[str, float]:
    """Measure exact match on neutral held-out scenes, overall and by family; blind: grey images."""
    scenes, questions = _held_out(seed, n)
    images = np.full((n, SIZE, SIZE, 3), _BLANK, np.uint8) if blind else render(scenes)
    right: dict[str, list[bool]] = {family: [] for family in FAMILIES}
    factors = vlm.read_factors(list(vlm.factors))
    for rows in np.array_split(np.arange(n), max(1, n // 300)):
        asked = [questions[row] for row in rows]
        encoded = vlm.encode(list(images[rows]), [q.text for q in asked], [q.answer for q in asked])
        [answers] = generate(vlm, [Task(factors, encoded)])
        for question, answer in zip(asked, answers, strict=True):
            right[question.family].append(answer.text == question.answer)
    overall = mean(hit for hits in right.values() for hit in hits)
    return {"overall": overall, **{family: mean(hits) for family, hits in right.items() if hits}}


def _held_out(seed: int, n: int) -> tuple[Scenes, list[Question]]:
    generator = rng(seed, "held out")
    scenes = sample_scenes(n, generator)
    return scenes, ask(scenes, generator, np.arange(n) % len(FAMILIES))


@torch.inference_mode()
def milliseconds_per_question(vlm: Vlm, seed: int, repeats: int = 30) -> float:
    """Time one forward pass, image through the tower included, on one CPU core; the median."""
    scenes, [question] = _held_out(seed, 1)
    [image] = render(scenes)
    inputs = vlm.processor(text=[question.text], images=[image], return_tensors="pt")
    labels = vlm.processor.tokenizer([question.answer], return_tensors="pt")["input_ids"]
    threads, seconds = torch.get_num_threads(), []
    torch.set_num_threads(1)
    try:
        for _ in range(repeats):
            start = time.perf_counter()
            vlm.model(**inputs.to(vlm.device), labels=labels.to(vlm.device))
            seconds.append(time.perf_counter() - start)
    finally:
        torch.set_num_threads(threads)
    return 1000 * median(seconds)


def shifted_accuracy(
    seed: int, clients: int = CLIENTS, steps: int = LOCAL_STEPS
) -> dict[str, float]:
    """Measure at fully shifted clients: the base, and a LoRA of rank 8 trained on each alone."""
    config = ExperimentConfig.parse(
        {
            "clients": clients,
            "samples_per_client": CLIENT_SAMPLES,
            "heterogeneity": {"kind": "mixed", "level": 1.0},
            "lora": {"rank": 8},
            "seed": seed,
        }
    )
    context = context_of(config)
    tests = [context.sets.get(k, "test") for k in range(clients)]
    start = context.initial
    jobs = [
        Job(start, context.sets.get(k, "train"), steps, rng(seed, "shifted", k))
        for k in range(clients)
    ]
    rate = config.learning_rate
    trained = train_together(context.vlm, jobs, list(start), batch_size=_BATCH, learning_rate=rate)

    def accuracy(adapters: list[Factors]) -> float:
        scores = score_teacher_forced(
            context.vlm, [Task(*pair) for pair in zip(adapters, tests, strict=True)]
        )
        return mean(items.accuracy for items in scores)

    return {
        "shifted_base": accuracy([start] * clients),
        "shifted_local": accuracy([factors for factors, _ in trained]),
    }


def skill_accuracy(seed: int, sites: int = CLIENTS, steps: int = SKILL_STEPS) -> dict[str, float]:
    """Score questions about faults at sites that are alike, which the base was never asked.

    The base; a LoRA of rank 8 on a site's own SKILL_SAMPLES questions; one on those of all sites.
    """
    config = ExperimentConfig.parse(
        {
            "clients": sites,
            "samples_per_client": SKILL_SAMPLES,
            "heterogeneity": {"level": 0.0},
            "fault_share": 1.0,
            "seed": seed,
        }
    )
    context = context_of(config)
    test = concatenate([context.sets.get(site, "test") for site in range(sites)])
    own = [context.sets.get(site, "train") for site in range(sites)]
    start = context.initial
    jobs = [
        Job(start, batch, steps, rng(seed, "skill", number))
        for number, batch in enumerate([*own, concatenate(own)])
    ]
    trained = train_together(
        context.vlm,
        jobs,
        list(start),
        batch_size=_BATCH,
        learning_rate=config.learning_rate,
    )
    adapters = [start, *(factors for factors, _ in trained)]
    marks = score_teacher_forced(context.vlm, [Task(factors, test) for factors in adapters])
    base, *alone, together = (scores.accuracy for scores in marks)
    return {"skill_base": base, "skill_local": mean(alone), "skill_together": together}


def distances(seed: int, kind: HeterogeneityKind) -> list[float]:
    """Measure the distance between eight clients at each of LEVELS."""
    values = {"clients": CLIENTS, "samples_per_client": CLIENT_SAMPLES, "seed": seed}
    configs = (
        ExperimentConfig.parse({**values, "heterogeneity": {"kind": kind, "level": level}})
        for level in LEVELS
    )
    return [distance(config) for config in configs]
