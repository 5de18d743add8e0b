"""Train the bundled miniature Florence-2 from scratch: ``python -m engine pretrain``.

End to end from random weights the loss sits on a text-only plateau: the vision tower gets almost no
signal through an untrained language model. So there are two stages:

1. *vision*: tower and projector learn, with a linear head on every image token, what stands in that
   part of the picture; some pictures are seen through the sites' cameras.
2. *language*: the tower is frozen, features are computed once, and the language model learns to
   answer; a few answers are in the company's house words.

A stage that is finished is kept in the work folder and not repeated.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_model, save_model
from torch import nn
from torch.nn import functional as F
from transformers import Florence2ForConditionalGeneration, Florence2Processor

from engine.federation.cameras import CAMERAS, look_through
from engine.federation.questions import FAMILIES, ask
from engine.federation.scenes import (
    COLOUR_NAMES,
    KINDS,
    MAX_OBJECTS,
    SIZE,
    Scenes,
    render,
    sample_scenes,
)
from engine.federation.words import HOUSE
from engine.randomness import rng
from engine.vlm.miniature import GRID, PIXELS, build_model, build_processor

log = logging.getLogger(__name__)
_SHIFT = 3  # pixels by which training pictures move about


@dataclass(frozen=True)
class Recipe:
    """How long each stage takes; the defaults take about 15 minutes on 2 CPU cores."""

    scenes: int = 24_000
    vision_epochs: float = 4.5
    language_steps: int = 2400
    camera_share: float = 0.25
    house_share: float = 0.06
    seed: int = 0


def pretrain(folder: Path, work: Path, recipe: Recipe) -> dict[str, float]:
    """Train both stages and save model and processor to ``folder``; returns held-out accuracies.

    ``work`` keeps the weights of the vision stage, so that a second call goes on from there.
    """
    torch.manual_seed(recipe.seed)
    model, processor = build_model(), build_processor()
    scenes = sample_scenes(recipe.scenes, rng(recipe.seed, "pretrain", "scenes"))
    pictures = _pictures(scenes, recipe.camera_share, rng(recipe.seed, "pretrain", "cameras"))
    kept = work / "vision.safetensors"
    work.mkdir(parents=True, exist_ok=True)
    if kept.exists():
        load_model(model, kept)
        log.info("vision stage: taken from %s", kept)
    else:
        _train_vision(model, scenes, pictures, recipe)
        save_model(model, str(kept))
    _train_language(model, processor, scenes, pictures, recipe)
    model.eval()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    report = evaluate(model, processor, seed=recipe.seed)
    (folder / "pretraining.json").write_text(
        json.dumps({"recipe": vars(recipe), "held_out_accuracy": report}, indent=2) + "\n"
    )
    return report


def evaluate(
    model: Florence2ForConditionalGeneration,
    processor: Florence2Processor,
    seed: int,
    n: int = 2000,
) -> dict[str, float]:
    """Exact match of generated answers on neutral held-out scenes: overall and per family."""
    generator = rng(seed, "held out")
    scenes = sample_scenes(n, generator)
    questions = ask(scenes, generator)
    features = _features(model, render(scenes))
    right: dict[str, list[bool]] = {family: [] for family in FAMILIES}
    for start in range(0, n, 250):
        rows = range(start, min(start + 250, n))
        inputs = _tokens(processor, [questions[i].text for i in rows])
        embeds = _merge(model, inputs["input_ids"], features[start : start + 250])
        with torch.no_grad():
            encoded = model.model.language_model.encoder(
                inputs_embeds=embeds, attention_mask=inputs["attention_mask"]
            )
            tokens = model.generate(
                encoder_outputs=encoded, attention_mask=inputs["attention_mask"], max_new_tokens=8
            )
        answers = processor.batch_decode(tokens, skip_special_tokens=True)
        for i, answer in zip(rows, answers, strict=True):
            right[questions[i].family].append(answer.strip() == questions[i].answer)
    report = {family: float(np.mean(hits)) for family, hits in right.items()}
    return {"overall": float(np.mean([hit for hits in right.values() for hit in hits])), **report}


def _pictures(scenes: Scenes, camera_share: float, generator: np.random.Generator) -> np.ndarray:
    """Render the scenes, a share of them through a random camera at a random strength."""
    pictures = render(scenes)
    cameras = [name for name in CAMERAS if name != "day"]
    for i in np.flatnonzero(generator.random(len(scenes)) < camera_share):
        camera = cameras[generator.integers(len(cameras))]
        strength = generator.uniform(0.2, 1.0)
        pictures[i] = look_through(camera, pictures[i : i + 1], strength, generator)[0]
    return pictures


def _pixel_values(pictures: np.ndarray) -> torch.Tensor:
    """What the image processor does, for a whole batch: (n, 96, 96, 3) uint8 -> (n, 3, 64, 64)."""
    images = torch.from_numpy(pictures).permute(0, 3, 1, 2).float()
    images = F.interpolate(images, size=PIXELS, mode="bicubic", antialias=True, align_corners=False)
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(1, 3, 1, 1)
    std = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(1, 3, 1, 1)
    return (images.round().clamp(0, 255) / 255 - mean) / std


def _token_labels(scenes: Scenes) -> dict[str, np.ndarray]:
    """What each image token's part of the picture holds: kind, colour and place, 0 for nothing.

    Each of shape (n, GRID²); an object belongs to the part in which its centre lies.
    """
    token = (scenes.y * GRID).astype(int) * GRID + (scenes.x * GRID).astype(int)
    labels: dict[str, np.ndarray] = {}
    for name, values in (("kind", scenes.kind), ("colour", scenes.colour), ("place", scenes.cell)):
        labels[name] = np.zeros((len(scenes), GRID * GRID), np.int64)
        for slot in range(MAX_OBJECTS):
            rows = np.flatnonzero(scenes.count > slot)
            labels[name][rows, token[rows, slot]] = values[rows, slot] + 1
    return labels


def _train_vision(
    model: Florence2ForConditionalGeneration, scenes: Scenes, pictures: np.ndarray, recipe: Recipe
) -> None:
    width = model.config.vision_config.projection_dim
    classes = {"kind": len(KINDS), "colour": len(COLOUR_NAMES), "place": 9}
    heads = nn.ModuleDict({name: nn.Linear(width, n + 1) for name, n in classes.items()})
    parameters = [
        *model.model.vision_tower.parameters(),
        *model.model.multi_modal_projector.parameters(),
        *heads.parameters(),
    ]
    batch = 64
    steps = int(recipe.vision_epochs * len(scenes) / batch)
    generator = rng(recipe.seed, "pretrain", "vision")
    model.train()
    for step, rows, optimiser in _steps(parameters, steps, 2e-3, batch, len(scenes), generator):
        dx, dy = generator.integers(-_SHIFT, _SHIFT + 1, 2)
        shifted = np.roll(pictures[rows], (dy, dx), axis=(1, 2))
        moved = scenes.take(rows)
        moved = Scenes(**{**vars(moved), "x": moved.x + dx / SIZE, "y": moved.y + dy / SIZE})
        tokens = model.model.get_image_features(_pixel_values(shifted)).pooler_output[:, 1:]
        losses = {
            name: F.cross_entropy(
                heads[name](tokens).flatten(0, 1), torch.from_numpy(labels).flatten()
            )
            for name, labels in _token_labels(moved).items()
        }
        sum(losses.values()).backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        if step % 100 == 0:
            shown = ", ".join(f"{name} {loss.item():.3f}" for name, loss in losses.items())
            log.info("vision %d/%d: %s", step, steps, shown)


def _train_language(
    model: Florence2ForConditionalGeneration,
    processor: Florence2Processor,
    scenes: Scenes,
    pictures: np.ndarray,
    recipe: Recipe,
) -> None:
    features = _features(model, pictures)
    parameters = [*model.model.language_model.parameters()]
    generator = rng(recipe.seed, "pretrain", "language")
    batch = 128
    model.train()
    for step, rows, optimiser in _steps(
        parameters, recipe.language_steps, 1.5e-3, batch, len(scenes), generator
    ):
        questions = ask(scenes.take(rows), generator)
        house = generator.random(batch) < recipe.house_share
        answers = [
            HOUSE.get(q.answer, q.answer) if own else q.answer
            for q, own in zip(questions, house, strict=True)
        ]
        inputs = _tokens(processor, [q.text for q in questions])
        labels = processor.tokenizer(answers, padding=True, return_tensors="pt")["input_ids"]
        labels[labels == model.config.text_config.pad_token_id] = -100
        loss = model(
            inputs_embeds=_merge(model, inputs["input_ids"], features[rows]),
            attention_mask=inputs["attention_mask"],
            labels=labels,
        ).loss
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        if step % 100 == 0:
            log.info("language %d/%d: loss %.3f", step, recipe.language_steps, loss.item())


def _steps(
    parameters: list[nn.Parameter],
    steps: int,
    peak: float,
    batch: int,
    n: int,
    generator: np.random.Generator,
) -> Iterator[tuple[int, np.ndarray, torch.optim.Optimizer]]:
    """Yield (step, rows, optimiser) with warm-up and cosine decay, gradients zeroed."""
    optimiser = torch.optim.AdamW(parameters, lr=peak, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, peak, steps + 1, pct_start=0.08)
    start = time.monotonic()
    for step in range(steps):
        optimiser.zero_grad(set_to_none=True)
        yield step, np.sort(generator.choice(n, batch, replace=False)), optimiser
        schedule.step()
    log.info("%d steps in %.0f s", steps, time.monotonic() - start)


@torch.no_grad()
def _features(model: Florence2ForConditionalGeneration, pictures: np.ndarray) -> torch.Tensor:
    """Image features (n, tokens, width) of pictures, in chunks."""
    model.eval()
    chunks = [pictures[i : i + 256] for i in range(0, len(pictures), 256)]
    return torch.cat(
        [model.model.get_image_features(_pixel_values(c)).pooler_output for c in chunks]
    )


def _tokens(processor: Florence2Processor, questions: list[str]) -> dict[str, torch.Tensor]:
    """Input ids and mask as the processor makes them, image placeholders included."""
    tokenizer = processor.tokenizer
    image = tokenizer.image_token * processor.num_image_tokens
    texts = [f"{image}{tokenizer.bos_token}{q}{tokenizer.eos_token}" for q in questions]
    return tokenizer(texts, add_special_tokens=False, padding=True, return_tensors="pt")


def _merge(
    model: Florence2ForConditionalGeneration, input_ids: torch.Tensor, features: torch.Tensor
) -> torch.Tensor:
    """Text embeddings with the image features in the places of the image tokens."""
    embeds = model.get_input_embeddings()(input_ids)
    mask = (input_ids == model.config.image_token_id).unsqueeze(-1)
    return embeds.masked_scatter(mask, features)
