"""The language stage: on frozen image features the language model learns to answer.

Features are computed once. A few images are seen through cameras, and a few answers are in the
company's base vocabulary, so that adapting to a site is worth it but starts from something.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import torch
from torch import nn
from transformers import Florence2ForConditionalGeneration, Florence2Processor

from engine.data.synthetic.questions import FAMILIES, Question, ask
from engine.data.synthetic.words import BASE_VOCABULARY, say
from engine.pretraining.progress import Stage
from engine.pretraining.recipe import Material, Recipe, pixel_values
from engine.system.seeding import rng

log = logging.getLogger(__name__)
_BATCH = 128


# Two look-ups or a comparison take longer to learn than one look-up.
_WEIGHT = {"relation": 2.0, "comparison": 2.0, "count": 1.5}


def train_language(
    model: Florence2ForConditionalGeneration,
    processor: Florence2Processor,
    material: Material,
    recipe: Recipe,
    kept: Path,
) -> None:
    """Train the language model of ``model`` in place; ``kept`` is for resuming."""
    features = _image_features(model, material.images)
    share, seen = recipe.language_camera_share, material.camera
    odds = np.where(seen, share / seen.sum(), (1 - share) / (~seen).sum())
    weights = np.array([_WEIGHT.get(family, 1.0) for family in FAMILIES])
    trained = model.model.language_model
    generator = rng(recipe.seed, "pretrain", "language")
    model.train()
    stage = Stage(kept, trained, generator)
    for step, optimiser in stage.steps(recipe.language_steps, recipe.language_peak):
        rows = np.sort(generator.choice(len(odds), _BATCH, p=odds))
        families = generator.choice(len(FAMILIES), _BATCH, p=weights / weights.sum())
        questions = ask(material.scenes.select(rows), generator, families)
        loss = _loss(model, processor, questions, features[rows], recipe, generator)
        loss.backward()
        nn.utils.clip_grad_norm_(trained.parameters(), 1.0)
        optimiser.step()
        if step % 100 == 0:
            log.info("language %d/%d: loss %.3f", step, recipe.language_steps, loss.item())


@torch.no_grad()
def _image_features(model: Florence2ForConditionalGeneration, images: np.ndarray) -> torch.Tensor:
    """Compute image features (n, tokens, width) of shrunk images, in chunks."""
    model.eval()
    chunks = (images[i : i + 256] for i in range(0, len(images), 256))
    features = model.model.get_image_features
    return torch.cat([features(pixel_values(chunk)).pooler_output for chunk in chunks])


def _loss(
    model: Florence2ForConditionalGeneration,
    processor: Florence2Processor,
    questions: list[Question],
    features: torch.Tensor,
    recipe: Recipe,
    generator: np.random.Generator,
) -> torch.Tensor:
    """Return the loss on a batch, a few of its answers in the base vocabulary."""
    house = generator.random(len(questions)) < recipe.house_share
    answers = [
        say(question.answer, BASE_VOCABULARY) if in_house else question.answer
        for question, in_house in zip(questions, house, strict=True)
    ]
    inputs = _tokens(processor, [question.text for question in questions])
    labels = processor.tokenizer(answers, padding=True, return_tensors="pt")["input_ids"]
    labels[labels == processor.tokenizer.pad_token_id] = -100
    return model(
        inputs_embeds=_merge(model, inputs["input_ids"], features),
        attention_mask=inputs["attention_mask"],
        labels=labels,
    ).loss


def _tokens(processor: Florence2Processor, questions: list[str]) -> dict[str, torch.Tensor]:
    """Make input ids and mask as the processor does, image placeholders included."""
    tokenizer = processor.tokenizer
    image = tokenizer.image_token * processor.num_image_tokens
    texts = [f"{image}{tokenizer.bos_token}{q}{tokenizer.eos_token}" for q in questions]
    return tokenizer(texts, add_special_tokens=False, padding=True, return_tensors="pt")


def _merge(
    model: Florence2ForConditionalGeneration, input_ids: torch.Tensor, features: torch.Tensor
) -> torch.Tensor:
    """Put the image features in the places of the image tokens."""
    embeds = model.get_input_embeddings()(input_ids)
    mask = (input_ids == model.config.image_token_id).unsqueeze(-1)
    return embeds.masked_scatter(mask, features)
