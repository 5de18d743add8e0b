"""What the first round of an experiment will want, known without torch."""

from __future__ import annotations

from engine.config import ExperimentConfig
from engine.fl.participation import participants

_MOST = 32  # clients: more would keep a worker that only makes ready busy for long


def first_clients(config: ExperimentConfig) -> list[int]:
    """Return the clients of the first round, or the first of very many."""
    return participants(config, 1)[:_MOST]


def first_sets(config: ExperimentConfig) -> list[tuple[int, str]]:
    """Return (client, split) in the order of need: the base is tested before anybody trains."""
    return [(k, split) for split in ("test", "train") for k in first_clients(config)]
