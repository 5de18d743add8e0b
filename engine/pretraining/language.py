"""The language stage: on frozen image features the language model learns to answer.

Features are computed once. A few images are seen through cameras, and a few answers are in the
company's base vocabulary, so that adapting to a site is worth it but starts from something. Words
for faults are heard and said, but no question is about the fault of a part.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import torch
from torch import nn
from transformers import Florence2ForConditionalGeneration, Florence2Processor

from engine.data.synthetic.faults import CONDITIONS, FINE
from engine.data.synthetic.questions import CONDITION, FAMILIES, PLACES, Question, ask
from engine.data.synthetic.scenes import Scenes
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
    features = _image_features(model, torch.from_numpy(material.images))
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
        ask_about_faults(questions, material.scenes.select(rows), recipe, generator)
        loss = _loss(model, processor, questions, features[rows], recipe, generator)
        loss.backward()
        nn.utils.clip_grad_norm_(trained.parameters(), 1.0)
        optimiser.step()
        if step % 100 == 0:
            log.info("language %d/%d: loss %.3f", step, recipe.language_steps, loss.item())


def ask_about_faults(
    questions: list[Question], scenes: Scenes, recipe: Recipe, generator: np.random.Generator
) -> None:
    """Put other questions in place of a few: a fault's word, and whether a part is fine.

    So the model says the words and looks for faults, but no question is about what is wrong.
    """
    chance = generator.random(len(questions))
    for row in np.flatnonzero(chance < recipe.word_share):
        word = CONDITIONS[generator.integers(len(CONDITIONS))]
        questions[row] = Question(CONDITION, f"Which condition is {word}?", word, word)
    for row in np.flatnonzero(chance > 1 - recipe.fine_share):
        slot = generator.integers(scenes.count[row])
        fine = "yes" if CONDITIONS[scenes.condition[row, slot]] == FINE else "no"
        text = f"Is the thing at the {PLACES[scenes.cell[row, slot]]} fine?"
        questions[row] = Question(CONDITION, text, fine, fine)


@torch.no_grad()
def _image_features(model: Florence2ForConditionalGeneration, images: torch.Tensor) -> torch.Tensor:
    """Compute image features (n, tokens, width) of shrunk images, in chunks."""
    model.eval()
    chunks = (pixel_values(chunk.to(model.device)) for chunk in images.split(256))
    return torch.cat([model.model.get_image_features(c).pooler_output for c in chunks])


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
    inputs = {name: value.to(model.device) for name, value in inputs.items()}
    labels = processor.tokenizer(answers, padding=True, return_tensors="pt")["input_ids"]
    labels[labels == processor.tokenizer.pad_token_id] = -100
    return model(
        inputs_embeds=_merge(model, inputs["input_ids"], features),
        attention_mask=inputs["attention_mask"],
        labels=labels.to(model.device),
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
