"""What decides the memory of a model. No torch here: of the bundled model its files tell it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from safetensors import safe_open

from engine.paths import BUNDLED_MODEL
from engine.vlm.checkpoint_files.sources import WEIGHTS

_INNER = ("intermediate_size", "encoder_ffn_dim", "ffn_dim")  # what configs call the same thing


@dataclass(frozen=True)
class Shape:
    """Numbers of a model, and its language model's layers, widths, heads and words.

    ``inner`` is the width inside a feed-forward layer.
    """

    model_type: str
    parameters: int
    layers: int
    hidden: int
    inner: int
    heads: int
    vocabulary: int


def shape_from(model_type: str, parameters: int, text: dict[str, Any]) -> Shape:
    """The shape of a model whose language model has this config."""
    both = (text.get("encoder_layers"), text.get("decoder_layers"))
    layers = sum(both) if all(both) else text.get("num_hidden_layers") or 1
    hidden = text.get("hidden_size") or text["d_model"]
    inner = next((text[name] for name in _INNER if text.get(name)), 4 * hidden)
    heads = text.get("num_attention_heads") or text.get("encoder_attention_heads") or 1
    return Shape(model_type, parameters, layers, hidden, inner, heads, text["vocab_size"])


@lru_cache(maxsize=1)
def bundled_shape() -> Shape:
    """The shape of the bundled model, from its config and its header."""
    values = json.loads((BUNDLED_MODEL / "config.json").read_text(encoding="utf-8"))
    with safe_open(BUNDLED_MODEL / WEIGHTS, framework="numpy") as weights:
        shapes = [weights.get_slice(name).get_shape() for name in weights.keys()]  # noqa: SIM118
    return shape_from(values["model_type"], sum(map(math.prod, shapes)), values["text_config"])
