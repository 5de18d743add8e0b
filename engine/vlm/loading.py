"""Loading a model from the lab, a folder or the hub: device, number format, what can go wrong."""

from __future__ import annotations

import logging
from functools import lru_cache
from weakref import WeakValueDictionary

import torch
from transformers import AutoModelForImageTextToText
from transformers.utils import logging as transformers_logging

from engine.config import BUNDLED, ConfigError, ExperimentConfig, Lora
from engine.vlm.checkpoint_files.files import sentence
from engine.vlm.checkpoint_files.sources import place_of
from engine.vlm.imported_adapter import merge_adapter
from engine.vlm.model import Vlm
from engine.vlm.processors import load_processor
from engine.vlm.vocabulary import extend

log = logging.getLogger(__name__)
_alive: WeakValueDictionary[str, Vlm] = WeakValueDictionary()  # by where they were loaded from


def device_of(config: ExperimentConfig) -> str:
    """The device to work on. Raises ConfigError when the machine lacks it."""
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if config.device == "auto":
        return next(device for device, found in there.items() if found)
    if not there[config.device]:
        allowed = ", ".join(["auto", *(device for device, found in there.items() if found)])
        name = config.device.upper()
        raise ConfigError(f"device: there is no {name} device on this machine; allowed: {allowed}")
    return config.device


def dtype_of(config: ExperimentConfig, device: str) -> torch.dtype:
    """The number format of the frozen weights; adapters are always float32."""
    if config.dtype == "auto":
        half = device == "cuda" and config.model != BUNDLED
        return torch.bfloat16 if half else torch.float32
    return getattr(torch, config.dtype)


@lru_cache(maxsize=2)
def load_from(
    source: str,
    lora: Lora,
    device: str,
    dtype: torch.dtype = torch.float32,
    answer_tokens: int = 12,
    words: tuple[str, ...] = (),
    start: str = "",
) -> Vlm:
    """The model in a folder or on the hub, with an adapter attached; kept in the process.

    ``words`` that its tokenizer is to know, see engine/vlm/vocabulary.py; ``start``: the folder of
    an adapter that becomes part of it, see engine/vlm/imported_adapter.py.
    """
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    model = AutoModelForImageTextToText.from_pretrained(
        source, use_safetensors=True, trust_remote_code=False, dtype=dtype
    )
    log.info("loaded %s on %s", source, device)
    processor = load_processor(source)
    extend(model, processor, words)
    if start:
        merge_adapter(model, start)
    vlm = Vlm(model, processor, lora, device, answer_tokens)
    _alive[source] = vlm
    return vlm


def is_loaded(config: ExperimentConfig) -> bool:
    """Whether this process holds the model of a config, with this adapter or another."""
    return place_of(config.model) in _alive


def load(config: ExperimentConfig, words: tuple[str, ...] = ()) -> Vlm:
    """The model of an experiment; kept in the process, so a second call costs nothing.

    ``words`` of its data that the tokenizer is to learn.

    Raises ConfigError when the machine lacks the device, or the hub does not give the model.
    """
    device = device_of(config)
    dtype = dtype_of(config, device)
    tokens = config.data.answer_tokens
    source = place_of(config.model)
    try:
        return load_from(source, config.lora, device, dtype, tokens, words, config.start)
    except OSError as error:  # as transformers and the hub's client raise
        if config.model == BUNDLED:
            raise
        raise ConfigError(sentence(config.model, error)) from error
