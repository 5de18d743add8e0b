"""Both stages of pretraining, one after the other, and the model that comes of it."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import torch
from safetensors.torch import load_model, save_model

from engine.pretraining.language import train_language
from engine.pretraining.miniature import build_model, build_processor
from engine.pretraining.recipe import Recipe, make_material
from engine.pretraining.vision import train_vision

log = logging.getLogger(__name__)


def pretrain(folder: Path, work: Path, recipe: Recipe) -> None:
    """Train from random weights and save model and processor to ``folder``.

    ``work`` keeps the weights of the vision stage, so that a second call goes on from there.
    """
    torch.manual_seed(recipe.seed)
    model, processor = build_model(), build_processor()
    material = make_material(recipe)
    kept = work / "vision.safetensors"
    work.mkdir(parents=True, exist_ok=True)
    if kept.exists():
        load_model(model, kept)
        log.info("vision stage: taken from %s", kept)
    else:
        train_vision(model, material, recipe)
        save_model(model, str(kept))
    train_language(model, processor, material, recipe)
    model.eval()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    (folder / "recipe.json").write_text(json.dumps(vars(recipe), indent=2) + "\n")
