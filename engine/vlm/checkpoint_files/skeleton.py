"""A model without its weights: how many numbers it has and where its adapters would sit.

Built from the config on torch's ``meta`` device, so that nothing is read and no memory is used.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForImageTextToText, PretrainedConfig, PreTrainedModel
from transformers.processing_utils import ProcessorMixin
from transformers.utils import logging

from engine.adapters.adapter import A
from engine.config import ConfigError, Lora
from engine.vlm.checkpoint_files.checks import (
    check_architecture,
    check_features,
    checked_processor,
)
from engine.vlm.checkpoint_files.files import read_checkpoint, shortened
from engine.vlm.checkpoint_files.shape import CheckpointFacts, shape_from, tower_from
from engine.vlm.families import family_of
from engine.vlm.lora import attach_lora
from engine.vlm.prompts import Prompter

_QUESTION = "What is in the picture, where is it, and how many of them can be seen? " * 2
_QUESTIONS = (_QUESTION.strip(), "?")

LinearShapes = dict[str, tuple[int, int]]


def build(place: str) -> PreTrainedModel:
    """Make a model without weights, of a folder or a hub id. Raises what transformers does."""
    logging.set_verbosity_error()
    config = AutoConfig.from_pretrained(place, trust_remote_code=False)
    with torch.device("meta"):
        return AutoModelForImageTextToText.from_config(config, trust_remote_code=False)


def check_weights(model: str, place: str) -> None:
    """Raise ConfigError where a folder lacks a weight, or has one of another shape.

    transformers would draw it at random. Only headers are read.
    """
    if not Path(place).is_dir():  # yet to be fetched
        return
    logging.disable_progress_bar()
    loaded: Any = AutoModelForImageTextToText.from_pretrained(
        place,
        device_map={"": "meta"},
        output_loading_info=True,
        ignore_mismatched_sizes=True,
        use_safetensors=True,
        trust_remote_code=False,
    )
    _, report = loaded
    wrong = sorted(map(str, [*report["missing_keys"], *report["mismatched_keys"]]))
    if wrong:
        others = f" and {len(wrong) - 1} others" if wrong[1:] else ""
        raise ConfigError(
            f"model: {model} has no weights of the shape that its config.json asks for: "
            f"{wrong[0]}{others}"
        )


@lru_cache(maxsize=16)
def inspect_checkpoint(
    model: str, place: str, digest: str, targets: tuple[str, ...], vision: bool, side: int
) -> tuple[CheckpointFacts, LinearShapes]:
    """Build everything but the weights; ``side``: pixels of the largest picture to be asked about.

    Returns what there is to know, and the shapes (d_out, d_in) of all linear layers by name.
    ``digest`` stands for the files' state. Raises ConfigError when the model cannot be trained.
    """
    values = read_checkpoint(model).config
    check_architecture(model, values)
    try:
        skeleton = build(place)
        check_features(model, skeleton)
        processor = checked_processor(model, place)
        check_weights(model, place)
        return _facts(
            model, skeleton, processor, Lora(rank=1, targets=targets, vision=vision), side
        )
    except ConfigError:
        raise
    except Exception as error:  # building runs a family's own code, which raises of many kinds
        raise ConfigError(f"model: {model} cannot be built ({shortened(error)})") from error


def _facts(
    model: str, skeleton: PreTrainedModel, processor: ProcessorMixin, lora: Lora, side: int
) -> tuple[CheckpointFacts, LinearShapes]:
    words = skeleton.get_input_embeddings().weight
    linear = {
        name: (layer.out_features, layer.in_features)
        for name, layer in skeleton.named_modules()
        if isinstance(layer, nn.Linear) and layer.weight is not words  # tied: it is no own weight
    }
    parameters = skeleton.num_parameters()
    config = skeleton.config
    text = config.get_text_config()
    values = text.to_dict() | {"hidden_size": text.hidden_size, "vocab_size": text.vocab_size}
    causal = not config.is_encoder_decoder
    prompter = Prompter(processor, family_of(config.model_type), 0, causal, 1)
    long, short = (_prompt(model, prompter, config, question, side) for question in _QUESTIONS)
    mark = len(processor.tokenizer("?", add_special_tokens=False).input_ids)
    numel_a, numel_b = _adapter_per_rank(model, skeleton, lora)
    facts = CheckpointFacts(
        model_type=config.model_type,
        shape=shape_from(parameters, values),
        tower=tower_from(config.vision_config.to_dict(), long["pixel_values"].shape),
        numel_a=numel_a,
        numel_b=numel_b,
        causal=causal,
        prompt_tokens=long["input_ids"].shape[1],
        frame_tokens=short["input_ids"].shape[1] - mark,
        positions=values.get("max_position_embeddings") or 0,
        markers=prompter.markers,
    )
    return facts, linear


def _prompt(
    model: str, prompter: Prompter, config: PretrainedConfig, question: str, side: int
) -> dict[str, torch.Tensor]:
    """Return a prompt about a square picture as tensors; raises ConfigError where there is none."""
    try:
        text = prompter.prompt(question)
    except ConfigError:
        raise
    except Exception as error:  # a template is a program, and raises what it likes
        raise ConfigError(
            f"model: the chat template of {model} cannot be used ({shortened(error)})"
        ) from error
    if question not in text:
        raise ConfigError(f"model: the chat template of {model} leaves out the question")
    picture = np.zeros((side, side, 3), np.uint8)
    try:
        [inputs] = prompter.inputs([picture], [question])
    except Exception as error:  # processors raise of many kinds
        raise ConfigError(
            f"model: the chat template of {model} has no place for a picture that its processor "
            f"could fill ({shortened(error)})"
        ) from error
    image_token = getattr(config, "image_token_id", None)
    if image_token is not None and not (inputs["input_ids"] == image_token).any():
        raise ConfigError(f"model: the chat template of {model} has no place for a picture")
    return inputs


def _adapter_per_rank(model: str, skeleton: PreTrainedModel, lora: Lora) -> tuple[int, int]:
    """Return the numbers in all A and in all B of rank 1: attached as to the real model."""
    try:
        with torch.device("meta"):
            _, factors = attach_lora(skeleton, lora, family_of(skeleton.config.model_type))
    except ConfigError as error:
        if lora.targets == Lora().targets and not lora.vision:
            raise ConfigError(
                f"model: {model} has no language model part that LoRA could be added to"
            ) from error
        raise
    numel_a = sum(value.numel() for value in factors.only(A).values())
    return numel_a, sum(value.numel() for value in factors.values()) - numel_a
