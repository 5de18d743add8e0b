"""Names of LoRA factors and of the layers that carry them, without importing torch."""

from collections.abc import Sequence

A, B = "lora_A", "lora_B"


def factor_of(name: str) -> str:
    """``lora_A`` or ``lora_B``: which factor a name like ``….q_proj.lora_A`` stands for."""
    return name.rpartition(".")[2]


def language_layers(targets: Sequence[str]) -> str:
    """A regular expression for the target layers of a VLM's language model."""
    return rf".*language_model.*\.({'|'.join(targets)})"
