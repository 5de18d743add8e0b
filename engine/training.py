"""Local training: a fixed number of AdamW steps on a client's own samples."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
import torch

from engine.vlm.model import Encoded, Vlm


def train(
    vlm: Vlm,
    samples: Encoded,
    names: Collection[str],
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    generator: np.random.Generator,
) -> float:
    """Train the named factors of ``vlm`` in place; returns the mean loss over the steps.

    The optimiser starts fresh in every round, as in FedAvg. Batches go through the samples in a new
    random order in every pass. Raises ArithmeticError when the loss is not a finite number.
    """
    trainable = [vlm.factors[name] for name in names]
    for parameter in trainable:
        parameter.requires_grad_(True)
    optimiser = torch.optim.AdamW(trainable, lr=learning_rate, weight_decay=0.0)
    total = torch.zeros((), device=vlm.device)
    try:
        for rows in _batches(len(samples), steps, batch_size, generator):
            batch = samples.take(rows.to(vlm.device))
            loss = vlm.model(**batch.inputs(), labels=batch.labels).loss
            loss.backward()
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            total += loss.detach()
    finally:
        for parameter in trainable:
            parameter.requires_grad_(False)
    mean = (total / steps).item()
    if not np.isfinite(mean):
        raise ArithmeticError("the training loss is not a finite number; try a lower learning rate")
    return mean


def _batches(
    n: int, steps: int, batch_size: int, generator: np.random.Generator
) -> Iterator[torch.Tensor]:
    """``steps`` batches of row numbers; a batch never holds a sample twice."""
    size = min(batch_size, n)
    order = np.empty(0, dtype=np.int64)
    for _ in range(steps):
        if len(order) < size:
            order = generator.permutation(n)
        yield torch.from_numpy(order[:size])
        order = order[size:]
