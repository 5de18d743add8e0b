"""Whether a config's model can be loaded and trained here: found out before anything starts."""

from __future__ import annotations

import inspect
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from engine.config import BUNDLED, ConfigError, ExperimentConfig, Lora
from engine.vlm.checkpoint_files.files import read_config, shortened
from engine.vlm.checkpoint_files.sources import place_of
from engine.vlm.families import FAMILIES, family_of

if TYPE_CHECKING:
    from torch import nn

_KNOWN = ", ".join(family.title for family in FAMILIES.values())


def check_model(config: ExperimentConfig) -> None:
    """Raise ConfigError, with one sentence, when the model cannot work on this machine.

    For the bundled model this costs nothing; of the hub's only config and tokenizer are fetched.
    """
    if config.device not in ("auto", "cpu"):
        from engine.vlm.loading import device_of

        device_of(config)
    if config.model == BUNDLED:
        if config.lora.targets != Lora().targets:
            from engine.vlm.adapter_size import adapter_size

            adapter_size(config)
        return
    from engine.vlm.memory import check_fits  # it asks check_loadable first

    check_fits(config)


def check_loadable(config: ExperimentConfig) -> None:
    """Raise ConfigError when the model is not there, or not one that the lab can train."""
    values = read_config(config.model)
    _check_architecture(config.model, values)
    try:
        _check_parts(config.model, place_of(config.model), config.lora.targets, config.lora.vision)
    except ConfigError:
        raise
    except Exception as error:  # building runs a family's own code, which raises of many kinds
        raise ConfigError(f"model: {config.model} cannot be built ({shortened(error)})") from error


def _check_architecture(model: str, values: dict[str, Any]) -> None:
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as SUPPORTED,
    )

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


@lru_cache(maxsize=16)
def _check_parts(model: str, place: str, targets: tuple[str, ...], vision: bool) -> None:
    """Build everything but the weights."""
    from engine.vlm.checkpoint_files.skeleton import build
    from engine.vlm.lora import layer_pattern

    skeleton = build(place)
    kind = skeleton.config.model_type
    if not _shows_features(skeleton):
        raise ConfigError(
            f"model: {model} is of the type '{kind}', whose picture features the lab cannot "
            f"read; tested families: {_KNOWN}"
        )
    _check_processor(model, place)
    try:
        layer_pattern(skeleton, Lora(targets=targets, vision=vision), family_of(kind))
    except ConfigError as error:
        if targets == Lora().targets and not vision:
            raise ConfigError(
                f"model: {model} has no language model part that LoRA could be added to"
            ) from error
        raise


def _shows_features(skeleton: nn.Module) -> bool:
    """Whether the lab can give it ready picture features, and ask for some logits only."""
    takes = inspect.signature(skeleton.forward).parameters
    cuts = skeleton.config.is_encoder_decoder or "logits_to_keep" in takes
    return cuts and hasattr(getattr(skeleton, "model", None), "get_image_features")


def _check_processor(model: str, place: str) -> None:
    from engine.vlm.processors import load_processor

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
