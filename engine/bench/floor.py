"""The machine's floor: the quickstart as a bare PyTorch loop over cached features.

The same batches, steps, tests and answers as the lab's, clients one after another, with PEFT's own
layers and AdamW, but no federation: no messages, no database, no checkpoints. FedIT's and pLoRA's
averages are written out in place.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from engine.bench.agreement import Losses
from engine.config import ExperimentConfig
from engine.fl.context import ExperimentContext
from engine.fl.training import batches
from engine.system.seeding import rng
from engine.vlm.encoded import IGNORE_INDEX, EncodedBatch, concatenate

Tensors = dict[str, torch.Tensor]  # factors by name


def run(config: ExperimentConfig, context: ExperimentContext, shared: str) -> Losses:
    """Run one strategy; ``shared`` is in the names of the factors that are averaged."""
    clients = range(config.clients)
    data = [context.sets.get(k, "train") for k in clients]
    pooled = context.sets.pooled()
    tests = [concatenate([context.sets.get(k, "test"), pooled]) for k in clients]
    start = context.initial
    everyone = {name: value for name, value in start.items() if shared in name}
    own: list[Tensors] = [start for _ in clients]
    personal = len(everyone) < len(start)
    weights = torch.tensor([float(len(samples)) for samples in data])
    losses: Losses = []
    for k in clients:
        _test(context, start, tests[k])
    for round_ in range(1, config.rounds + 1):
        sent: list[Tensors] = []
        losses.append({})
        for k in clients:
            order = rng(config.seed, "batches", round_, k)
            context.vlm.load_factors({**own[k], **everyone})
            losses[-1][k] = train(context, data[k], config, order)
            trained = context.vlm.read_factors(list(start))
            sent.append({name: trained[name] for name in everyone})
            own[k] = {name: trained[name] for name in start if name not in everyone}
        everyone = {
            name: torch.einsum(
                "k,k...->...", weights / weights.sum(), torch.stack([s[name] for s in sent])
            )
            for name in everyone
        }
        for k in clients:
            _test(context, {**start, **everyone}, tests[k])
            if personal:
                _test(context, {**own[k], **everyone}, tests[k])
    for k in clients:
        for factors in (start, {**start, **everyone}, {**own[k], **everyone})[: 2 + personal]:
            _answer(context, factors, context.sets.get(k, "test"))
    return losses


def train(
    context: ExperimentContext,
    data: EncodedBatch,
    config: ExperimentConfig,
    order: np.random.Generator,
) -> float:
    """Train the model's factors where they stand; returns the mean loss over the steps."""
    factors = list(context.vlm.factors.values())
    for factor in factors:
        factor.requires_grad_(True)
    optimiser = torch.optim.AdamW(factors, lr=config.learning_rate, weight_decay=0.0)
    total = 0.0
    for rows in batches(len(data), config.local_steps, config.batch_size, order):
        batch = data.select(rows).to(context.vlm.device)
        with context.vlm.vision.showing(batch):
            loss = context.vlm.model(**context.vlm.inputs(batch), labels=batch.labels).loss
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        total += loss.item()
    return total / config.local_steps


@torch.inference_mode()
def _test(context: ExperimentContext, factors: Tensors, data: EncodedBatch) -> float:
    context.vlm.load_factors(factors)
    data = data.to(context.vlm.device)
    with context.vlm.vision.showing(data):
        logits = context.vlm.model(**context.vlm.inputs(data), labels=data.labels).logits
    right = (logits.argmax(-1) == data.labels) | (data.labels == IGNORE_INDEX)
    return float(right.all(-1).float().mean())


@torch.inference_mode()
def _answer(context: ExperimentContext, factors: Tensors, data: EncodedBatch) -> torch.Tensor:
    context.vlm.load_factors(factors)
    data = data.to(context.vlm.device)
    model: Any = context.vlm.model
    with context.vlm.vision.showing(data):
        tokens: torch.Tensor = model.generate(
            **context.vlm.inputs(data), max_new_tokens=12, do_sample=False
        )
    return tokens
