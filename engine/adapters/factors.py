"""Names of LoRA factors and of the layers that carry them, without importing torch."""

from collections.abc import Mapping
from typing import Any

import numpy as np

A, B = "lora_A", "lora_B"
ALL_LINEAR = "all-linear"  # of lora.targets: every linear layer of the language model
DELTA = "offset"  # of a layer: what some strategies add to its frozen weight, (d_out, d_in)


def factor_of(name: str) -> str:
    """``lora_A`` or ``lora_B``: which factor a name like ``….q_proj.lora_A`` stands for."""
    return name.rpartition(".")[2]


def axis_of(name: str) -> int:
    """The axis of a factor along which its rank counts: rows of A, columns of B."""
    return 0 if factor_of(name) == A else 1


def cut(factors: Mapping[str, Any], rank: int) -> dict[str, Any]:
    """The first ``rank`` directions of an adapter, of arrays or tensors; offsets as they are."""
    first = {A: (slice(rank),), B: (slice(None), slice(rank))}
    return {name: value[first.get(factor_of(name), ...)] for name, value in factors.items()}


def padded(arrays: Mapping[str, np.ndarray], rank: int) -> dict[str, np.ndarray]:
    """An adapter with zero directions added up to ``rank``; does the same as before."""
    found: dict[str, np.ndarray] = {}
    for name, value in arrays.items():
        after = [(0, 0), (0, 0)]
        after[axis_of(name)] = (0, rank - value.shape[axis_of(name)])
        found[name] = np.pad(value, after)
    return found


def products(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """B·A by layer, (d_out, d_in) in float64, of arrays that hold both factors of some layers."""
    layers = [name.removesuffix(f".{A}") for name in arrays if factor_of(name) == A]
    return {
        layer: arrays[f"{layer}.{B}"].astype(np.float64) @ arrays[f"{layer}.{A}"].astype(np.float64)
        for layer in layers
    }


def effective(arrays: Mapping[str, np.ndarray], scale: float) -> dict[str, np.ndarray]:
    """What a model adds to its frozen weights, s·B·A and its offset, by layer in float64."""
    found = {layer: scale * product for layer, product in products(arrays).items()}
    return {layer: value + arrays.get(f"{layer}.{DELTA}", 0) for layer, value in found.items()}
