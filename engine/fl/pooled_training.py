"""The server's own training, where all data lie in one place: strategy ``centralized``."""

from __future__ import annotations

from collections.abc import Sequence

from engine.config import ExperimentConfig
from engine.fl.context import context_of
from engine.fl.resolved import Resolved
from engine.fl.training import Job, train
from engine.system.faults import require_number
from engine.system.seeding import rng
from engine.vlm.encoded import concatenate
from engine.vlm.limits import MOST_ROWS
from engine.vlm.lora import Factors


def train_pooled(
    config: ExperimentConfig,
    resolved: Resolved | None,
    clients: Sequence[int],
    before: Factors,
    round_: int,
) -> tuple[Factors, float]:
    """Train on what these clients hold; returns all factors and the mean loss over the steps.

    As many samples as the clients would take together: their steps, with their batches put
    together, up to MOST_ROWS in one. Raises NotANumber.
    """
    context = context_of(config, resolved)
    rows = config.batch_size * len(clients)
    batch = max(config.batch_size, min(rows, MOST_ROWS))
    job = Job(
        context.initial | before,
        concatenate([context.sets.get(client, "train") for client in clients]),
        -(-config.local_steps * rows // batch),
        rng(config.drawn_from, "batches", round_, clients[0]),
    )
    names = list(context.vlm.factors)
    rate = config.learning_rate
    factors, loss = train(context.vlm, job, names, batch_size=batch, learning_rate=rate)
    require_number(loss, "the training loss", round_)
    return factors, loss
