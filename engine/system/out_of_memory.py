"""When memory runs out: how it shows, and what to say. No torch here: errors are known by name."""

from __future__ import annotations

import re

from engine.config import BUNDLED, ExperimentConfig

# Python's own, torch's on a GPU and torch's on a CPU. Through Flower, faults travel as text.
_SIGNS = re.compile(
    r"\bMemoryError\b|OutOfMemoryError|out of memory|not enough memory: you tried to allocate"
)


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that memory ran out, here or at a client."""
    return bool(_SIGNS.search(f"{type(error).__name__}: {error}"))


def advice(config: ExperimentConfig) -> str:
    """Return what would let a run with this config get by, in a sentence that names the keys."""
    lower = ["batch_size or micro_batch" if config.micro_batch != 1 else "batch_size"]
    lower += ["data.answer_tokens", "lora.rank"]
    switch = [] if config.checkpointing else ["checkpointing=true"]
    if config.dtype != "bfloat16" and config.model != BUNDLED:
        switch.append("dtype=bfloat16")
    said = f"memory ran out: lower {', '.join(lower)}"
    return f"{said}, or set {' or '.join(switch)}" if switch else said
