"""Both stages of pretraining, one after the other, and the model that comes of it."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import Florence2ForConditionalGeneration

from engine.pretraining.language import train_language
from engine.pretraining.miniature import build_model, build_processor, vocabulary
from engine.pretraining.recipe import Recipe, make_material
from engine.pretraining.vision import train_vision
from engine.system.machine import devices

log = logging.getLogger(__name__)


def pretrain(folder: Path, work: Path, recipe: Recipe, start: Path | None = None) -> None:
    """Train and save model and processor to ``folder``; from random weights, or those of ``start``.

    ``work`` keeps how far it came, a folder for each recipe, so that a second call goes on.
    """
    if start is not None:
        digest = blake2b((start / "model.safetensors").read_bytes(), digest_size=8).hexdigest()
        recipe = replace(recipe, start=f"weights {digest}")
    torch.manual_seed(recipe.seed)
    model, processor = build_model(), build_processor()
    if start is not None:
        take_over(model, start)
    nn.Module.to(model, torch.device(devices()[0]))
    material = make_material(recipe)
    work = work / blake2b(repr(recipe).encode(), digest_size=8).hexdigest()
    work.mkdir(parents=True, exist_ok=True)
    kept = work / "vision.safetensors"
    if kept.exists():
        model.load_state_dict(load_file(kept), strict=False)
        log.info("vision stage: taken from %s", kept)
    elif recipe.vision_steps:
        train_vision(model, material, recipe, work / "vision.part")
        seen = {k: v for k, v in model.state_dict().items() if ".language_model." not in k}
        save_file({k: v for k, v in seen.items() if not k.startswith("lm_head")}, kept)
    train_language(model, processor, material, recipe, work / "language.part")
    model.eval().to("cpu")
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    (folder / "recipe.json").write_text(json.dumps(vars(recipe), indent=2) + "\n")


def take_over(model: Florence2ForConditionalGeneration, start: Path) -> None:
    """Copy the weights of an earlier bundled model, word by word where its vocabulary differs."""
    earlier = load_file(start / "model.safetensors")
    tokenizer = json.loads((start / "tokenizer.json").read_text(encoding="utf-8"))
    numbers = {word: number for number, word in enumerate(vocabulary())}
    rows = [(numbers[w], n) for w, n in tokenizer["model"]["vocab"].items() if w in numbers]
    weights = model.state_dict()
    for name, value in earlier.items():
        if weights[name].shape == value.shape:
            weights[name].copy_(value)
        else:  # a row per word
            ours, theirs = map(list, zip(*rows, strict=True))
            weights[name][ours] = value[theirs]
