"""One loaded vision-language model with its LoRA adapter."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import nn
from transformers import AutoModelForImageTextToText, AutoProcessor
from transformers.utils import logging as transformers_logging

from engine.config import ConfigError, ExperimentConfig, Lora
from engine.machine import cores
from engine.paths import BUNDLED_MODEL
from engine.vlm.encoded import IGNORED, Encoded
from engine.vlm.factors import OFFSET, factor_of
from engine.vlm.lora import attach_lora
from engine.vlm.vision_cache import VisionCache

log = logging.getLogger(__name__)
_SMALL = 20_000_000  # parameters
# On a CPU a small model gains nothing from more threads on so few rows, and beside another busy
# process they cost most there (benchmarks/threads.py).
_ONE_THREAD_BELOW = 16  # rows


class Vlm:
    """A frozen model, its processor, and the LoRA factors by name (``….q_proj.lora_A``)."""

    def __init__(self, model: nn.Module, processor: object, lora: Lora, device: str) -> None:
        self.model = model.to(device).eval().requires_grad_(False)
        self.processor = processor
        self.device = device
        self.small = device == "cpu" and model.num_parameters() < _SMALL
        if self.small:  # over some 20 tokens plain products are twice as fast as SDPA's kernel
            self.model.set_attn_implementation("eager")
        self.factors = attach_lora(self.model, lora)
        self.vision = VisionCache(self.model.model)

    def encode(
        self, images: Sequence[np.ndarray], questions: Sequence[str], answers: Sequence[str]
    ) -> Encoded:
        """Pictures (height, width, 3) uint8, questions and answers as tensors on the device."""
        inputs = self.processor(
            text=list(questions), images=list(images), padding=True, return_tensors="pt"
        ).to(self.device)
        labels = self.processor.tokenizer(list(answers), padding=True, return_tensors="pt")
        labels = labels["input_ids"].masked_fill(labels["attention_mask"] == 0, IGNORED)
        return Encoded(
            inputs["input_ids"],
            inputs["attention_mask"],
            labels.to(self.device),
            self.vision.features(inputs["pixel_values"]),
        )

    @contextmanager
    def threads_for(self, rows: int) -> Iterator[None]:
        """Inside, torch has the threads that pay for passes over so many rows."""
        before = torch.get_num_threads()
        alone = self.small and rows < _ONE_THREAD_BELOW
        torch.set_num_threads(1 if alone else cores())
        try:
            yield
        finally:
            torch.set_num_threads(before)

    def load_factors(self, factors: dict[str, torch.Tensor]) -> None:
        """Copy LoRA factors into the model, in place; shapes must fit. Offsets are left out."""
        with torch.no_grad():
            for name in factors.keys() & self.factors.keys():
                self.factors[name].copy_(factors[name])

    @contextmanager
    def shifted(self, factors: dict[str, torch.Tensor]) -> Iterator[None]:
        """Inside, the frozen weights have the factors' offsets added; after it, the old bits."""
        before: list[tuple[torch.Tensor, torch.Tensor]] = []
        with torch.no_grad():
            for name, offset in offsets_of(factors).items():
                layer = self.model.get_submodule(name.removesuffix(f".{OFFSET}"))
                weight = layer.base_layer.weight
                before.append((weight, weight.clone()))
                weight.add_(offset.to(weight.device))
        try:
            yield
        finally:
            with torch.no_grad():
                for weight, old in before:
                    weight.copy_(old)

    def read_factors(self, names: Sequence[str]) -> dict[str, torch.Tensor]:
        """Copies of some of the LoRA factors, on the CPU."""
        return {name: self.factors[name].detach().cpu().clone() for name in names}


def offsets_of(factors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """What the factors want added to the frozen weights, by name."""
    return {name: value for name, value in factors.items() if factor_of(name) == OFFSET}


@lru_cache(maxsize=2)
def load_from(folder: Path, lora: Lora, device: str) -> Vlm:
    """The model in a folder, with an adapter attached; kept in the process."""
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    model = AutoModelForImageTextToText.from_pretrained(folder, use_safetensors=True)
    processor = AutoProcessor.from_pretrained(folder)
    log.info("loaded %s on %s", folder, device)
    return Vlm(model, processor, lora, device)


def load(config: ExperimentConfig) -> Vlm:
    """The model of an experiment; kept in the process, so a second call costs nothing.

    Raises ConfigError when the machine lacks the device.
    """
    device = config.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    elif device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device: there is no CUDA device on this machine; allowed: auto, cpu")
    return load_from(BUNDLED_MODEL, config.lora, device)
