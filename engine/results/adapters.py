"""Factors as adapter folders that PEFT loads, whatever a strategy made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.adapters.adapter import Adapter
from engine.adapters.low_rank import LowRank, trimmed, weighted_sum
from engine.vlm.imported_adapter import WEIGHTS, ImportedAdapter, peft_name, read_adapter

if TYPE_CHECKING:
    from pathlib import Path

    from engine.config import ExperimentConfig
    from engine.vlm.lora import Factors


def write_adapter(
    folder: Path, factors: Factors, config: ExperimentConfig, layers: str, base: str
) -> None:
    """Write factors of ``layers`` (a pattern) as a folder that ``PeftModel.from_pretrained`` loads.

    Deltas of the frozen weights, and the adapter that training started from, become part of it, at
    the rank that this takes.
    """
    from peft import LoraConfig
    from safetensors.torch import save_file

    scale, alpha = config.lora.scale, config.lora.alpha
    if factors.has_deltas:
        factors, scale, alpha = merged(factors, scale), 1.0, 0.0
    if config.start:
        factors, scale, alpha = with_start(factors, scale, read_adapter(config.start)), 1.0, 0.0
    counted: Any = alpha or factors.rank  # PEFT says int, and takes fractions
    LoraConfig(
        r=factors.rank,
        lora_alpha=counted,
        target_modules=sorted(factors.layers()) if config.start else layers,
        base_model_name_or_path=base,
        inference_mode=True,
    ).save_pretrained(str(folder))
    save_file(
        {peft_name(name): value.contiguous() for name, value in factors.items()},
        folder / WEIGHTS,
        metadata={"format": "pt"},
    )


def with_start(factors: Factors, scale: float, start: ImportedAdapter) -> Factors:
    """Return one adapter of scale 1 that does what factors and what they started from do together.

    A layer that only one of the two adapts gets zero directions of the other.
    """
    import torch

    parts = ((factors, scale), (start.factors(), start.scale))
    layers = sorted({layer for own, _ in parts for layer in own.layers()})
    a, b = [], []
    for layer in layers:
        present = next(own for own, _ in parts if layer in own.layers())
        rows, columns = [], []
        for own, own_scale in parts:
            here = layer in own.layers()
            missing_a = present.a(layer).new_zeros(own.rank, present.a(layer).shape[1])
            missing_b = present.b(layer).new_zeros(present.b(layer).shape[0], own.rank)
            rows.append(own.a(layer) if here else missing_a)
            columns.append(own_scale * own.b(layer) if here else missing_b)
        a.append(torch.cat(rows))
        b.append(torch.cat(columns, 1))
    return Adapter.of_layers(layers, a, b)


def merged(factors: Factors, scale: float) -> Factors:
    """Return one adapter of scale 1 for what factors and deltas add, by singular values."""
    import torch

    layers, a, b = factors.layers(), [], []
    for layer in layers:
        terms = [(scale, LowRank(factors.b(layer).numpy(), factors.a(layer).numpy()))]
        if delta := factors.delta(layer):
            terms.append((1.0, LowRank(*(part.numpy() for part in delta))))
        whole = trimmed(weighted_sum(terms))
        a.append(torch.from_numpy(whole.a).float())
        b.append(torch.from_numpy(whole.b).float())
    rank = max(len(value) for value in a)
    return Adapter.of_layers(layers, a, b).padded(rank)
