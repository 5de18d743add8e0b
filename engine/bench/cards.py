"""The model card and the data card in ``assets/``, written from what the world bench measured.

``python -m engine bench world --seed N --cards``; nothing in them is typed but the prose.
"""

from __future__ import annotations

import json
from typing import cast

import numpy as np
from PIL import Image

from engine.bench.world import (
    CLIENT_SAMPLES,
    CLIENTS,
    LEVELS,
    LOCAL_STEPS,
    QUESTIONS,
    SKILL_SAMPLES,
    SKILL_STEPS,
    WorldReport,
)
from engine.config import HeterogeneityKind
from engine.data.synthetic.cameras import CAMERAS, look_through
from engine.data.synthetic.faults import CONDITIONS
from engine.data.synthetic.heterogeneity import MEANINGS
from engine.data.synthetic.questions import CONDITION, FAMILIES, ask
from engine.data.synthetic.scenes import (
    COLOUR_NAMES,
    KINDS,
    MATERIALS,
    SIZE,
    SIZES,
    render,
    sample_scenes,
)
from engine.data.synthetic.words import CIRCLES, client_words, say
from engine.paths import ASSETS, BUNDLED_MODEL
from engine.system.seeding import rng

_PER_CAMERA = 7
_GAP = 4  # pixels between images


def write_cards(report: WorldReport, seed: int) -> None:
    """Write MODEL_CARD.md, DATA_CARD.md and cameras.png into ``assets/``."""
    command = f"`python -m engine bench world --seed {seed} --json`"
    _write("MODEL_CARD.md", _model_card(report, command))
    _write("DATA_CARD.md", _data_card(report, seed, command))
    contact_sheet(seed).save(ASSETS / "cameras.png", optimize=True)


def contact_sheet(seed: int) -> Image.Image:
    """Draw the same bins through every camera, a camera a row, at full strength."""
    images = render(sample_scenes(_PER_CAMERA, rng(seed, "contact sheet")))
    step = SIZE + _GAP
    sheet = np.full((len(CAMERAS) * step - _GAP, _PER_CAMERA * step - _GAP, 3), 255, np.uint8)
    for row, camera in enumerate(CAMERAS):
        seen = look_through(camera, images, 1.0, rng(seed, "contact sheet", camera))
        for column, image in enumerate(seen):
            sheet[row * step :, column * step :][:SIZE, :SIZE] = image
    return Image.fromarray(sheet)


def _model_card(report: WorldReport, command: str) -> list[str]:
    recipe = json.loads((BUNDLED_MODEL / "recipe.json").read_text(encoding="utf-8"))
    families = [f"| {name} | {_percent(value)} |" for name, value in report.families.items()]
    return [
        "# The bundled model",
        "",
        "A miniature Florence-2 (Xiao et al., [arXiv 2311.06242](https://arxiv.org/abs/2311.06242))"
        ": DaViT vision tower, BART language model, word-level tokenizer. It answers questions "
        "about the parts bins of the embedded world ([data card](DATA_CARD.md)), and about nothing "
        "else. It is there to learn and to compare federated methods with, not to be used on "
        "photographs. MIT licence, no personal data.",
        "",
        f"It sees 96 × 96 pixels as ten image tokens, one for each place of the bin and their "
        f"mean. {report.model_mb:.1f} MB on disk; one forward pass of one question takes "
        f"{report.ms_per_question:.0f} ms on one CPU core.",
        "",
        "## What it knows",
        "",
        f"Exact match of generated answers on {QUESTIONS:,} neutral held-out questions, drawn from "
        f"the seed of {command}, one training seed:",
        "",
        "| family | right |",
        "|---|---|",
        *families,
        f"| **overall** | **{_percent(report.overall)}** |",
        f"| overall, with a grey picture | {_percent(report.blind)} |",
        "",
        "It has learnt to see faults (its vision tower has) and was asked whether a part is fine, "
        "never what is wrong with it. Of questions "
        f"about faults it answers {_percent(report.skill_base)} rightly; with a LoRA "
        f"trained on {SKILL_SAMPLES} of them at one site, for {SKILL_STEPS} steps, "
        f"{_percent(report.skill_local)}; trained as long on those of {CLIENTS} sites that are "
        f"alike, {_percent(report.skill_together)} (same command).",
        "",
        f"At {CLIENTS} sites that differ as much as they can (`mixed`, level 1) it answers "
        f"{_percent(report.shifted_base)} rightly; with a LoRA of rank 8, trained on each site's "
        f"own {CLIENT_SAMPLES:,} samples for {LOCAL_STEPS} steps, {_percent(report.shifted_local)} "
        "(same command).",
        "",
        "## How it was trained",
        "",
        "`python -m engine pretrain`, from random weights, in two stages (`engine/pretraining/`). "
        "*Vision*: tower and projector learn, with linear heads that are then thrown away, what "
        "stands in each place. *Language*: on frozen image features the language model learns to "
        "answer. It sees few pictures of other cameras and few house words, and never a site's "
        "own vocabulary, so that there is something to adapt to.",
        "",
        "These weights went on (`--start`) from others of this recipe: from scratch on a GPU with "
        "30,000 scenes, 2,600 vision and 7,000 language steps, then 800 steps with the words for "
        "faults. The table is of what came last.",
        "",
        "| setting | value |",
        "|---|---|",
        *(f"| {key.replace('_', ' ')} | {value} |" for key, value in recipe.items()),
    ]


def _data_card(report: WorldReport, seed: int, command: str) -> list[str]:
    sites = [client_words(seed, site, 1.0) for site in range(CLIENTS)]
    vocabulary = [
        f"| {neutral} | " + " | ".join(say(neutral, words) for words in sites) + " |"
        for circle in CIRCLES.values()
        for neutral in circle
    ]
    distances = [
        f"| `{kind}` | {MEANINGS[cast(HeterogeneityKind, kind)][1]} | "
        + " | ".join(f"{v:.3f}" for v in values)
        + " |"
        for kind, values in report.distance.items()
    ]
    return [
        "# The embedded world",
        "",
        "Sites of one company watch their parts bins: pictures, questions and answers are drawn "
        "from a seed by `engine/data/synthetic/`; nothing is downloaded and nobody is in the "
        "pictures. "
        f"A bin is {SIZE} × {SIZE} pixels and holds one to six shaded solids: "
        f"{len(KINDS)} kinds ({', '.join(KINDS)}), {len(COLOUR_NAMES)} colours "
        f"({', '.join(COLOUR_NAMES)}), {' and '.join(MATERIALS)}, {', '.join(SIZES)}. Neighbours "
        f"may overlap. A part is {', '.join(CONDITIONS)}.",
        "",
        "## Questions",
        "",
        "Nine families, drawn evenly among those that a picture allows. Answers are balanced "
        "within a family. A relation is asked only where one thing stands on that side. "
        f"With a grey picture the model answers {_percent(report.blind)} rightly "
        f"({command}). A tenth family, *{CONDITION}*, asks what is wrong with a part; its share of "
        "the questions is `fault_share`. The model was never asked it: that is what clients learn "
        "together.",
        "",
        "| family | a question | neutral answer | site 1 says |",
        "|---|---|---|---|",
        *_sample_questions(seed, sites[1]),
        "",
        "## Cameras",
        "",
        "One a row, at full strength: " + ", ".join(CAMERAS) + ". Site k has camera k mod "
        f"{len(CAMERAS)}.",
        "",
        "![The same bins through eight cameras](cameras.png)",
        "",
        "## Vocabularies",
        "",
        "Head office asks in neutral words; all sites answer in house words (a *crate*, not a "
        "*box*; *3*, not *three*; *dull*, not *matt*). At full concept shift the sites moreover "
        f"disagree; seed {seed}:",
        "",
        "| neutral | " + " | ".join(f"site {site}" for site in range(CLIENTS)) + " |",
        "|---" * (CLIENTS + 1) + "|",
        *vocabulary,
        "",
        "## The dial",
        "",
        "Measured distance between eight clients by level, mean over pairs "
        f"(`engine/data/distance.py` defines them; {command}):",
        "",
        "| kind | what differs | " + " | ".join(f"{level:g}" for level in LEVELS) + " |",
        "|---" * (len(LEVELS) + 2) + "|",
        *distances,
    ]


def _sample_questions(seed: int, words: dict[str, str]) -> list[str]:
    generator = rng(seed, "sample questions")
    families = (*FAMILIES, CONDITION)
    scenes = sample_scenes(len(families) * 8, generator)
    turns = np.arange(len(scenes)) % len(families)
    first = {q.family: q for q in reversed(ask(scenes, generator, turns))}
    return [
        f"| {family} | {first[family].text} | {first[family].answer} "
        f"| {say(first[family].answer, words)} |"
        for family in families
    ]


def _percent(share: float) -> str:
    return f"{share:.1%}".replace("%", " %")


def _write(name: str, lines: list[str]) -> None:
    (ASSETS / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
