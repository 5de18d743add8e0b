"""How well the clients of a round agree, and what averaging their factors gets wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.adapters.factors import A, B, effective, factor_of
from engine.strategies.base import Arrays, Strategy

_MOST = 32  # clients that are compared in pairs


@dataclass(frozen=True)
class Agreement:
    """aggregation_error: ‖server's model − Σ p_k client k's model‖ over all layers, None where the
    server does not know the clients' models; cosine_a, cosine_b: mean over pairs of clients of the
    cosine between what they changed, None for a factor that is not sent or a lone client.
    """

    aggregation_error: float | None
    cosine_a: float | None
    cosine_b: float | None


def agreement(
    rule: Strategy,
    scale: float,
    received: Arrays,
    sent: Sequence[Arrays],
    weights: np.ndarray,
    merged: Arrays,
) -> Agreement:
    """Compare what the clients sent with what they had received and with the server's ``merged``.

    Both ``received`` and ``merged`` hold all factors, the common start included.
    """
    error = None
    if any(sent) and (rule.two_adapters or not rule.personal_factors):
        error = _error(scale, received, sent, weights, merged)
    updates = [_update(own, received) for own in sent[:_MOST]]
    return Agreement(error, _mean_cosine(updates, A), _mean_cosine(updates, B))


def _update(own: Arrays, received: Arrays) -> Arrays:
    """What a client changed; zeros stand for the directions that one of a lower rank lacks."""
    found: Arrays = {}
    for name, value in own.items():
        part = tuple(slice(n) for n in value.shape)
        found[name] = np.zeros_like(received[name])
        found[name][part] = value - received[name][part]
    return found


def _error(
    scale: float, received: Arrays, sent: Sequence[Arrays], weights: np.ndarray, server: Arrays
) -> float:
    reached = effective(server, scale)
    for own, weight in zip(sent, weights, strict=True):
        for layer, value in effective(received | own, scale).items():
            reached[layer] -= weight * value
    return float(np.sqrt(sum(np.square(value).sum() for value in reached.values())))


def _mean_cosine(updates: Sequence[Arrays], factor: str) -> float | None:
    rows = [
        np.concatenate(
            [np.empty(0, np.float32), *(v.ravel() for name, v in own.items() if factor_of(name) == factor)]
        )
        for own in updates
    ]
    if len(rows) < 2 or not len(rows[0]):
        return None
    matrix = np.stack(rows)
    matrix = matrix / np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-12)
    n = len(rows)
    return float(((matrix @ matrix.T).sum() - n) / (n * (n - 1)))
