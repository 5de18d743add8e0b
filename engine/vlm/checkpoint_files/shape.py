"""What a checkpoint is like, before it is loaded. No torch here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.vlm.markers import Markers

_INNER = ("intermediate_size", "encoder_ffn_dim", "ffn_dim")  # what configs call the same thing


@dataclass(frozen=True)
class Shape:
    """Numbers of a model, and its language model's layers, widths, heads and words.

    ``inner`` is the width inside a feed-forward layer.
    """

    parameters: int
    layers: int
    hidden: int
    inner: int
    heads: int
    vocabulary: int


@dataclass(frozen=True)
class TowerShape:
    """A vision tower's layers, widths, and the patches of one picture as its first layer sees it.

    Of a tower whose stages differ, the first one's: it has the most patches.
    """

    layers: int
    hidden: int
    inner: int
    patches: int
    pixels: int  # of one picture, as the processor makes it


@dataclass(frozen=True)
class CheckpointFacts:
    """What a checkpoint's files say of the model, and of adapters on its target layers.

    numel_a, numel_b: numbers in all A and in all B of an adapter, per rank; prompt_tokens: of a
    long question about a large picture; frame_tokens: of that prompt but for its question;
    positions: tokens of the longest sequence (0: no limit), with the answer in it if ``causal``;
    markers: what the tokenizer or the processor reads as control.
    """

    model_type: str
    shape: Shape
    tower: TowerShape
    numel_a: int
    numel_b: int
    causal: bool
    prompt_tokens: int
    frame_tokens: int
    positions: int
    markers: Markers


def shape_from(parameters: int, text: Mapping[str, Any]) -> Shape:
    """Return the shape of a model whose language model has this config."""
    layers = text.get("num_hidden_layers") or 1
    if text.get("encoder_layers") and text.get("decoder_layers"):
        layers = text["encoder_layers"] + text["decoder_layers"]
    hidden = text.get("hidden_size") or text["d_model"]
    inner = next((text[name] for name in _INNER if text.get(name)), 4 * hidden)
    heads = text.get("num_attention_heads") or text.get("encoder_attention_heads") or 1
    return Shape(parameters, layers, hidden, inner, heads, text["vocab_size"])


def tower_from(vision: Mapping[str, Any], pixels: Sequence[int]) -> TowerShape:
    """Return the shape of a tower with this config for a picture of ``pixels`` (a tensor's shape).

    Either (pictures, …, 3, height, width), or (patches, numbers) where the processor cuts it up.
    """
    hidden = _first(vision.get("embed_dim") or vision.get("hidden_size") or 768)
    ratio = vision.get("mlp_ratio") or 4
    inner = vision.get("intermediate_size") or int(ratio * hidden)
    depths = vision.get("num_hidden_layers") or vision.get("depth") or vision.get("depths") or 1
    layers = 2 * sum(depths) if isinstance(depths, Sequence) else depths  # two blocks in each
    side = _first(vision.get("patch_stride") or vision.get("patch_size") or 14)
    area = math.prod(pixels) // 3
    patches = pixels[0] if len(pixels) == 2 else area // side**2
    return TowerShape(layers, hidden, inner, patches, area)


def _first(value: Any) -> int:
    """Return a number, or the first of a list of them."""
    return int(value[0] if isinstance(value, Sequence) else value)
