"""Names of LoRA factors and of the layers that carry them, without importing torch."""

from collections.abc import Mapping, Sequence

import numpy as np

A, B = "lora_A", "lora_B"
OFFSET = "offset"  # of a layer: what some strategies add to its frozen weight, (d_out, d_in)


def factor_of(name: str) -> str:
    """``lora_A`` or ``lora_B``: which factor a name like ``….q_proj.lora_A`` stands for."""
    return name.rpartition(".")[2]


def language_layers(targets: Sequence[str]) -> str:
    """A regular expression for the target layers of a VLM's language model."""
    return rf".*language_model.*\.({'|'.join(targets)})"


def products(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """B·A by layer, (d_out, d_in) in float64, of arrays that hold both factors of some layers."""
    layers = [name.removesuffix(f".{A}") for name in arrays if factor_of(name) == A]
    return {
        layer: arrays[f"{layer}.{B}"].astype(np.float64) @ arrays[f"{layer}.{A}"].astype(np.float64)
        for layer in layers
    }
