"""Factors as adapter folders that PEFT loads, whatever a strategy made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from engine.adapters.adapter import DELTA, Adapter, name_of
from engine.vlm.imported_adapter import WEIGHTS, ImportedAdapter, peft_name, read_adapter

if TYPE_CHECKING:
    from pathlib import Path

    from engine.config import ExperimentConfig
    from engine.vlm.lora import Factors

_SMALL = 1e-6  # of the largest singular value: rounding, not a direction


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
    LoraConfig(
        r=factors.rank,
        lora_alpha=alpha or factors.rank,
        target_modules=sorted(factors.layers()) if config.start else layers,
        base_model_name_or_path=base,
        inference_mode=True,
    ).save_pretrained(folder)
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
        present = next(own for own, _ in parts if name_of(layer, "lora_A") in own)
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
        whole = scale * (factors.b(layer).double() @ factors.a(layer).double())
        if (name := name_of(layer, DELTA)) in factors:
            whole = whole + factors[name]
        u, s, vt = np.linalg.svd(whole.numpy(), full_matrices=False)
        kept = max(1, int((s > _SMALL * s[0]).sum()))
        a.append(torch.from_numpy(vt[:kept]).float())
        b.append(torch.from_numpy(u[:, :kept] * s[:kept]).float())
    rank = max(len(value) for value in a)
    return Adapter.of_layers(layers, a, b).padded(rank)
