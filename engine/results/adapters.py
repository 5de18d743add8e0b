"""Factors as adapter folders that PEFT loads, whatever a strategy made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from engine.vlm.imported_adapter import WEIGHTS, ImportedAdapter, peft_name, read_adapter

if TYPE_CHECKING:
    from pathlib import Path

    from engine.config import ExperimentConfig
    from engine.strategies.base import Arrays
    from engine.vlm.multi_lora.stacked import Factors

_SMALL = 1e-6  # of the largest singular value: rounding, not a direction


def write_adapter(
    folder: Path, factors: Factors, config: ExperimentConfig, layers: str, base: str
) -> None:
    """Write factors of ``layers`` (a pattern) as a folder that ``PeftModel.from_pretrained`` loads.

    Offsets of the frozen weights, and the adapter that training started from, become part of it, at
    the rank that this takes.
    """
    from peft import LoraConfig
    from safetensors.torch import save_file

    from engine.adapters.factors import DELTA, axis_of, factor_of

    alpha = config.lora.alpha
    if any(factor_of(name) == DELTA for name in factors):
        factors, alpha = merged(factors, config.lora.scale), None
    if config.start:
        scale = config.lora.scale if alpha else 1.0
        factors, alpha = with_start(factors, scale, read_adapter(config.start)), None
    name, value = next(iter(factors.items()))
    rank = value.shape[axis_of(name)]
    own = {name.rpartition(".")[0] for name in factors}
    LoraConfig(
        r=rank,
        lora_alpha=alpha or rank,
        target_modules=sorted(own) if config.start else layers,
        base_model_name_or_path=base,
        inference_mode=True,
    ).save_pretrained(folder)
    save_file(
        {peft_name(name): value.contiguous() for name, value in factors.items()},
        folder / WEIGHTS,
        metadata={"format": "pt"},
    )


def with_start(factors: Factors, scale: float, start: ImportedAdapter) -> Factors:
    """One adapter of scale 1 that does what factors and the one they started from do together."""
    import torch

    from engine.adapters.factors import A, B

    parts = ((factors, scale), (start.factors(), start.scale))
    ranks = [next(len(v) for n, v in own.items() if n.endswith(A)) for own, _ in parts]
    found: Factors = {}
    for layer in sorted({name.rpartition(".")[0] for own, _ in parts for name in own}):
        a, b = f"{layer}.{A}", f"{layer}.{B}"
        like = next(own for own, _ in parts if a in own)
        rows, columns = [], []
        for (own, s), rank in zip(parts, ranks, strict=True):
            rows.append(own.get(a, torch.zeros(rank, like[a].shape[1])))
            columns.append(s * own[b] if b in own else torch.zeros(like[b].shape[0], rank))
        found |= {a: torch.cat(rows), b: torch.cat(columns, 1)}
    return found


def merged(factors: Factors, scale: float) -> Factors:
    """One adapter of scale 1 for what factors and offsets add together, by singular values."""
    import torch

    from engine.adapters.factors import A, B, effective, padded

    parts: dict[str, Arrays] = {}
    for layer, whole in effective({n: v.numpy() for n, v in factors.items()}, scale).items():
        u, s, vt = np.linalg.svd(whole, full_matrices=False)
        kept = max(1, int((s > _SMALL * s[0]).sum()))
        parts[layer] = {f"{layer}.{A}": vt[:kept], f"{layer}.{B}": u[:, :kept] * s[:kept]}
    rank = max(len(part[f"{layer}.{A}"]) for layer, part in parts.items())
    found = {name: value for part in parts.values() for name, value in padded(part, rank).items()}
    return {name: torch.from_numpy(value).float() for name, value in found.items()}
