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
from engine.vlm.merging import merge_adapter
from engine.vlm.model import Vlm
from engine.vlm.processors import load_processor
from engine.vlm.resolved import ResolvedModel, check_files, resolve_device
from engine.vlm.vocabulary import extend

log = logging.getLogger(__name__)
_alive: WeakValueDictionary[str, Vlm] = WeakValueDictionary()  # by where they were loaded from


@lru_cache(maxsize=2)
def load_from(
    source: str,
    lora: Lora,
    device: str,
    dtype: torch.dtype = torch.float32,
    answer_tokens: int = 12,
    words: tuple[str, ...] = (),
    start: str = "",
    digest: str = "",
) -> Vlm:
    """Load the model in a folder or on the hub and attach an adapter; kept in the process.

    ``words`` that its tokenizer is to know, see engine/vlm/vocabulary.py; ``start``: the folder of
    an adapter that becomes part of it, see engine/vlm/imported_adapter.py; ``digest`` stands for
    the state of its files, so that what was changed is loaded anew.
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
    """Tell whether this process holds the model of a config, with this adapter or another."""
    return place_of(config.model) in _alive


def load(config: ExperimentConfig, model: ResolvedModel, words: tuple[str, ...] = ()) -> Vlm:
    """Load the model of an experiment; kept in the process, so a second call costs nothing.

    ``words`` of its data that the tokenizer is to learn. Raises ConfigError when the machine lacks
    the device, the hub does not give the model, or its files are not those that were resolved.
    """
    device = resolve_device(model.device)
    check_files(config.model, model)
    dtype, tokens = getattr(torch, model.dtype), config.data.answer_tokens
    place = place_of(config.model)
    try:
        return load_from(
            place, config.lora, device, dtype, tokens, words, config.start, model.digest
        )
    except OSError as error:  # as transformers and the hub's client raise
        if config.model == BUNDLED:
            raise
        raise ConfigError(sentence(config.model, error)) from error
