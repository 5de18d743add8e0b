"""Whether a checkpoint can be trained here: a sentence for each reason why not."""

from __future__ import annotations

import inspect
from typing import Any

from transformers import PreTrainedModel
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as SUPPORTED,
)
from transformers.processing_utils import ProcessorMixin

from engine.config import ConfigError
from engine.vlm.checkpoint_files.files import shortened
from engine.vlm.families import FAMILIES
from engine.vlm.processors import load_processor

_KNOWN = ", ".join(family.title for family in FAMILIES.values())


def check_architecture(model: str, values: dict[str, Any]) -> None:
    """Raise ConfigError when transformers has no such model; ``values``: its ``config.json``."""
    kind = values.get("model_type", "")
    # Microsoft's own Florence-2 files are called as the native ones, but have other weights.
    foreign = "auto_map" in values and kind in ("florence2", "")
    if foreign or (kind not in SUPPORTED and "auto_map" in values):
        raise ConfigError(
            f"model: {model} needs code of its own to be run, which the lab never does; "
            "look for the same model 'for transformers' on the hub"
        )
    if kind not in SUPPORTED:
        raise ConfigError(
            f"model: {model} is of the type '{kind}', which does not answer questions about "
            f"pictures in transformers; tested families: {_KNOWN}"
        )


def check_features(model: str, skeleton: PreTrainedModel) -> None:
    """Raise ConfigError unless ready picture features can be given, and some logits asked for."""
    takes = inspect.signature(skeleton.forward).parameters
    cuts = skeleton.config.is_encoder_decoder or "logits_to_keep" in takes
    if not (cuts and hasattr(getattr(skeleton, "model", None), "get_image_features")):
        raise ConfigError(
            f"model: {model} is of the type '{skeleton.config.model_type}', whose picture features "
            f"the lab cannot read; tested families: {_KNOWN}"
        )


def checked_processor(model: str, place: str) -> ProcessorMixin:
    """Load a checkpoint's processor; raise ConfigError when it cannot be made or lacks a part."""
    try:
        processor = load_processor(place)
    except Exception as error:  # of many kinds: files that are missing, packages that are not here
        raise ConfigError(
            f"model: the tokenizer or image processor of {model} cannot be made "
            f"({shortened(error)})"
        ) from error
    parts = [getattr(processor, part, None) for part in ("tokenizer", "image_processor")]
    if not all(parts):
        raise ConfigError(f"model: {model} comes without a tokenizer or an image processor")
    return processor
