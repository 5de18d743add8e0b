"""What the bundled model is like, from its files alone: no torch here."""

from __future__ import annotations

import json
import math
import re
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from safetensors import safe_open

from engine.config import ConfigError, Lora
from engine.paths import BUNDLED_MODEL
from engine.vlm.checkpoint_files.shape import CheckpointFacts, shape_from, tower_from
from engine.vlm.checkpoint_files.weights import WEIGHTS
from engine.vlm.families import FAMILIES, LANGUAGE, layers_of, target_layers
from engine.vlm.markers import Markers

_WORLD_TOKENS = 32  # of a picture and a question of the embedded world
_ENDS = 2  # tokens that the processor puts around a question
# Questions that transformers' Florence-2 processor spells out.
_TASKS = (
    *("<CAPTION>", "<DENSE_REGION_CAPTION>", "<DETAILED_CAPTION>", "<MORE_DETAILED_CAPTION>"),
    *("<OCR>", "<OCR_WITH_REGION>", "<OD>", "<REGION_PROPOSAL>"),
)


@lru_cache(maxsize=1)
def content_digest() -> str:
    """Return a digest of what is in the files: when they were written says nothing."""
    digest = blake2b(digest_size=16)
    for path in sorted(BUNDLED_MODEL.glob("*")):
        if path.suffix in (".json", ".safetensors"):
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


@lru_cache(maxsize=16)
def bundled_facts(targets: tuple[str, ...], *, of_world: bool) -> CheckpointFacts:
    """Return the facts with LoRA on the language model; ``of_world``: asked about its pictures.

    Raises ConfigError when no layer is called so.
    """
    values, processor, tokenizer = map(_json, ("config", "processor_config", "tokenizer"))
    shapes = weight_shapes()
    parameters = sum(map(math.prod, shapes.values()))
    numel_a, numel_b = _adapter_per_rank(shapes, targets)
    text = values["text_config"]
    size = processor["image_processor"]["size"]
    positions = text["max_position_embeddings"]
    special = (token["content"] for token in tokenizer["added_tokens"] if token["special"])
    return CheckpointFacts(
        model_type=values["model_type"],
        shape=shape_from(parameters, text),
        tower=tower_from(values["vision_config"], (1, 3, size["height"], size["width"])),
        numel_a=numel_a,
        numel_b=numel_b,
        causal=False,
        prompt_tokens=_WORLD_TOKENS if of_world else positions,
        frame_tokens=processor["image_processor"]["image_seq_length"] + _ENDS,
        positions=positions,
        markers=Markers(tuple(sorted((*special, *_TASKS))), _TASKS),
    )


@lru_cache(maxsize=1)
def weight_shapes() -> dict[str, tuple[int, ...]]:
    """Return the shapes of the bundled model's weights by name, from the header of its file."""
    with safe_open(BUNDLED_MODEL / WEIGHTS, framework="numpy") as weights:
        names = list(weights.keys())
        return {name: tuple(weights.get_slice(name).get_shape()) for name in names}


def _adapter_per_rank(
    shapes: dict[str, tuple[int, ...]], targets: tuple[str, ...]
) -> tuple[int, int]:
    family = FAMILIES["florence2"]
    names = target_layers(Lora(targets=targets), family)
    pattern = re.compile(layers_of(LANGUAGE, names) + r"\.weight")
    adapted = [shape for name, shape in shapes.items() if pattern.fullmatch(name)]
    if not adapted:
        raise ConfigError(
            f"lora.targets: no linear layer of the bundled model is called {' or '.join(targets)}; "
            f"there are: {', '.join(family.linear)}"
        )
    return sum(d_in for _, d_in in adapted), sum(d_out for d_out, _ in adapted)


def _json(name: str) -> dict[str, Any]:
    return json.loads((BUNDLED_MODEL / f"{name}.json").read_text(encoding="utf-8"))
