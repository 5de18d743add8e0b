"""The bench with a model of Florence-2-base's real size: random weights, for they serve for speed.

In bfloat16 on a GPU, as the lab trains such models there; two CPU cores need most of an hour.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import torch

from db import reads
from engine.bench import floor
from engine.bench.agreement import close, losses_of
from engine.bench.harness import all_sets, run_here, temporary_home
from engine.bench.shares import shares
from engine.config import ExperimentConfig
from engine.fl.context import ExperimentContext, context_of, forget
from engine.fl.training import batches
from engine.pretraining.miniature import build_model, build_processor
from engine.system.seeding import rng

SETTING = {
    "clients": 2,
    "data": {"test_samples": 16},
    "samples_per_client": 64,
    "batch_size": 8,
    "local_steps": 8,
    "rounds": 2,
    "strategies": ["plora"],
}
# Florence-2-base as published (arXiv 2311.06242); the tower's own values are transformers' default.
PIXELS, IMAGE_TOKENS = 768, 24 * 24 + 1
TEXT = {
    "vocab_size": 51289,
    "d_model": 768,
    "encoder_layers": 6,
    "decoder_layers": 6,
    "encoder_attention_heads": 12,
    "decoder_attention_heads": 12,
    "encoder_ffn_dim": 3072,
    "decoder_ffn_dim": 3072,
    "max_position_embeddings": 1024,
}
VISION = {"projection_dim": 768}


@dataclass(frozen=True)
class FullSize:
    """The figures; memory is the GPU's peak, or what the process holds where there is none.

    ``with_tower`` is training with the pictures through the tower at every step, ``shares`` where
    the time of the lab's run goes, by category.
    """

    device: str
    dtype: str
    parameters: int
    samples_per_s: float
    with_tower_samples_per_s: float
    ours_over_floor: float | None  # None where the losses differ
    shares: dict[str, float]
    memory_bytes: int


def measure(repeats: int) -> FullSize:
    """Train and test two clients with the lab and with the bare loop, in turn."""
    with temporary_home() as home:
        config = ExperimentConfig.parse({**SETTING, "model": str(save_model(home / "model"))})
        context = context_of(config)
        list(context.sets.make_ready(all_sets(config)))
        with_tower = _with_tower(config, context)  # first: it also warms up the device
        lowest, ours, agree = [], [], True
        for _ in range(repeats):
            start = time.perf_counter()
            losses = floor.run(config, context, "lora_B")
            between = time.perf_counter()
            with shares() as parts:
                run = run_here(config, context, together=True)["plora"]
            lowest.append(between - start)
            ours.append(time.perf_counter() - between)
            agree &= close(losses, losses_of(run))
        model: Any = context.vlm.model
        weight = next(model.parameters())
        measured = FullSize(
            device=context.vlm.device,
            dtype=str(weight.dtype).removeprefix("torch."),
            parameters=model.num_parameters(),
            samples_per_s=_samples(config) / sum(r.seconds for r in reads.client_rounds(run)),
            with_tower_samples_per_s=with_tower,
            ours_over_floor=median(ours) / median(lowest) if agree else None,
            shares={name: share for name, share in parts.items() if name != "seconds"},
            memory_bytes=_memory(context.vlm.device),
        )
    forget()
    return measured


def save_model(folder: Path) -> Path:
    """Write the model, whose tokenizer knows the lab's own world."""
    torch.manual_seed(0)
    build_model(TEXT, VISION).save_pretrained(folder)
    build_processor(PIXELS, IMAGE_TOKENS).save_pretrained(folder)
    return folder


def _with_tower(config: ExperimentConfig, context: ExperimentContext) -> float:
    """Measure samples per second where each step reads its images anew, as is done by hand."""
    examples = context.dataset.examples(0, "train")
    one_step = config.model_copy(update={"local_steps": 1})
    start = time.perf_counter()
    for rows in batches(len(examples), config.local_steps, config.batch_size, rng(0, "tower")):
        batch = context.sets.encode([examples[row] for row in rows.tolist()])
        floor.train(context, batch, one_step, rng(0, "one"))
    return config.local_steps * config.batch_size / (time.perf_counter() - start)


def _samples(config: ExperimentConfig) -> int:
    return config.clients * config.rounds * config.local_steps * config.batch_size


def _memory(device: str) -> int:
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    return psutil.Process().memory_info().rss
