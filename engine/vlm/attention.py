"""Cross-attention: the part of a picture that a model looks at while it writes an answer."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from transformers import PreTrainedModel

from engine.vlm.encoded import IGNORE_INDEX, EncodedBatch
from engine.vlm.model import Vlm


def cross_attention(vlm: Vlm, batch: EncodedBatch) -> list[np.ndarray | None]:
    """Return for every row the decoder's attention on the picture, mean over layers and heads.

    Over the tokens of the answer (``labels``), which belongs to the adapters that are active. A
    grid (rows, columns) of image tokens that sums to 1; None where a picture's tokens are no square
    grid. A token for the whole picture, which Florence-2 puts before the grid, is left out.
    """
    batch = batch.to(vlm.device)
    with vlm.vision.showing(batch), _showing_weights(vlm.model):
        out = vlm.model(**vlm.inputs(batch), labels=batch.labels, output_attentions=True)
    weights = torch.stack(out.cross_attentions).float().mean((0, 2))  # (n, answer, prompt)
    answered = (batch.labels != IGNORE_INDEX).unsqueeze(-1)
    per_token = (weights * answered).sum(1) / answered.sum(1)
    is_image = batch.input_ids == vlm.model.config.image_token_id
    return [_grid(row[there].cpu().numpy()) for row, there in zip(per_token, is_image, strict=True)]


def _grid(weights: np.ndarray) -> np.ndarray | None:
    for whole in (0, 1):  # tokens for the whole picture
        side = math.isqrt(max(len(weights) - whole, 0))
        if side > 1 and side * side == len(weights) - whole:
            grid = weights[whole:].reshape(side, side)
            return grid / grid.sum()
    return None


@contextmanager
def _showing_weights(model: PreTrainedModel) -> Iterator[None]:
    """Inside, the model computes attention in a way that gives its weights."""
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(before)
