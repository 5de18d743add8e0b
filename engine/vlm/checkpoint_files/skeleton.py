"""A model without its weights: how many numbers it has and where its adapters would sit.

Built from the config on torch's ``meta`` device, so that nothing is read and no memory is used.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForImageTextToText
from transformers.utils import logging

from engine.adapters.factors import A, factor_of
from engine.config import Lora
from engine.vlm.checkpoint_files.shape import Shape, shape_from
from engine.vlm.families import family_of
from engine.vlm.lora import attach_lora
from engine.vlm.processors import load_processor
from engine.vlm.prompts import Prompter

_QUESTION = "What is in the picture, where is it, and how many of them can be seen? " * 2


def build(place: str) -> nn.Module:
    """A new model without weights, from a folder or a hub id. Raises what transformers raises."""
    logging.set_verbosity_error()
    config = AutoConfig.from_pretrained(place, trust_remote_code=False)
    with torch.device("meta"):
        return AutoModelForImageTextToText.from_config(config, trust_remote_code=False)


@lru_cache(maxsize=16)
def shape_of(place: str) -> Shape:
    """The shape of a model. Raises what transformers raises."""
    model = build(place)
    text = model.config.get_text_config()
    values = text.to_dict() | {"hidden_size": text.hidden_size, "vocab_size": text.vocab_size}
    return shape_from(model.config.model_type, model.num_parameters(), values)


@lru_cache(maxsize=16)
def adapter_per_rank(place: str, targets: tuple[str, ...], vision: bool) -> tuple[int, int]:
    """Numbers in all A and in all B of an adapter of rank 1: attached as to the real model.

    Raises ConfigError when no layer is called so, and what transformers raises.
    """
    model = build(place)
    with torch.device("meta"):
        lora = Lora(rank=1, targets=targets, vision=vision)
        _, factors = attach_lora(model, lora, family_of(model.config.model_type))
    a = sum(value.numel() for name, value in factors.items() if factor_of(name) == A)
    return a, sum(value.numel() for value in factors.values()) - a


@lru_cache(maxsize=16)
def prompt_tokens(place: str, side: int) -> int:
    """Tokens of a long question about a square picture of ``side`` pixels, its own tokens too."""
    config = AutoConfig.from_pretrained(place, trust_remote_code=False)
    causal = not config.is_encoder_decoder
    prompter = Prompter(load_processor(place), family_of(config.model_type), 0, causal, 1)
    picture = np.zeros((side, side, 3), np.uint8)
    return prompter.inputs([picture], [_QUESTION])[0]["input_ids"].shape[1]
