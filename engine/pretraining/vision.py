"""The vision stage: tower and projector learn to say what stands where.

A linear head on every image token names kind, colour, material, size, condition and place of the
object in its part of the image; one on the mean token counts kinds and colours. Half of the images
are seen through the sites' cameras.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from transformers import Florence2ForConditionalGeneration

from engine.data.synthetic.faults import CONDITIONS
from engine.data.synthetic.scenes import COLOUR_NAMES, KINDS, MATERIALS, MAX_OBJECTS, SIZES, Scenes
from engine.pretraining.miniature import GRID, WIDTH
from engine.pretraining.progress import Stage
from engine.pretraining.recipe import Material, Recipe, pixel_values
from engine.system.seeding import rng

log = logging.getLogger(__name__)
_SHIFT = 2  # pixels by which training images move about
_BATCH = 64
_CLASSES = {
    "kind": len(KINDS),
    "colour": len(COLOUR_NAMES),
    "material": len(MATERIALS),
    "size": len(SIZES),
    "condition": len(CONDITIONS),
    "cell": GRID * GRID,
}


def train_vision(
    model: Florence2ForConditionalGeneration, material: Material, recipe: Recipe, kept: Path
) -> None:
    """Train vision tower and projector of ``model`` in place; ``kept`` is for resuming."""
    width = WIDTH
    heads = nn.ModuleDict({name: nn.Linear(width, n + 1) for name, n in _CLASSES.items()})
    counter = nn.Linear(width, len(KINDS) + len(COLOUR_NAMES))
    trained = nn.ModuleList(
        [model.model.vision_tower, model.model.multi_modal_projector, heads, counter]
    )
    device = model.device
    trained.to(device)
    labels = {n: torch.from_numpy(v).to(device) for n, v in token_labels(material.scenes).items()}
    counts = torch.from_numpy(bin_counts(material.scenes)).to(device)
    images = torch.from_numpy(material.images).to(device)
    generator = rng(recipe.seed, "pretrain", "vision")
    model.train().to(memory_format=torch.channels_last)  # convolutions are faster so
    stage = Stage(kept, trained, generator)
    for step, optimiser in stage.steps(recipe.vision_steps, recipe.vision_peak):
        rows = np.sort(generator.choice(len(material.scenes), _BATCH, replace=False))
        shift = generator.integers(-_SHIFT, _SHIFT + 1, 2)
        pixels = pixel_values(torch.roll(images[rows], tuple(shift), dims=(1, 2)))
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16):  # twice as fast on a CPU that knows it
            features = model.model.get_image_features(pixels).pooler_output
        features = features.float()
        losses = {
            name: F.cross_entropy(head(features[:, 1:]).flatten(0, 1), labels[name][rows].flatten())
            for name, head in heads.items()
        }
        losses["count"] = F.mse_loss(counter(features[:, 0]), counts[rows])
        losses["condition"] = 2 * losses["condition"]  # the finest counts twice
        torch.stack(list(losses.values())).sum().backward()
        nn.utils.clip_grad_norm_(trained.parameters(), 1.0)
        optimiser.step()
        if step % 100 == 0:
            shown = ", ".join(f"{name} {loss.item():.3f}" for name, loss in losses.items())
            log.info("vision %d/%d: %s", step, recipe.vision_steps, shown)
    model.train().to(memory_format=torch.contiguous_format)


def token_labels(scenes: Scenes) -> dict[str, np.ndarray]:
    """Label what each image token's part of the image holds, 0 for nothing; each (n, GRID²)."""
    labels = {name: np.zeros((len(scenes), GRID * GRID), np.int64) for name in _CLASSES}
    for slot in range(MAX_OBJECTS):
        rows = np.flatnonzero(scenes.count > slot)
        for name, values in labels.items():
            values[rows, scenes.cell[rows, slot]] = getattr(scenes, name)[rows, slot] + 1
    return labels


def bin_counts(scenes: Scenes) -> np.ndarray:
    """Count the things of each kind, then of each colour: (n, 16) float32."""
    there = np.arange(MAX_OBJECTS) < scenes.count[:, None]
    kinds = (scenes.kind[..., None] == np.arange(len(KINDS))) & there[..., None]
    colours = (scenes.colour[..., None] == np.arange(len(COLOUR_NAMES))) & there[..., None]
    return np.concatenate([kinds.sum(1), colours.sum(1)], 1).astype(np.float32)
