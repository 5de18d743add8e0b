"""How well the clients of a round agree, and what averaging their factors gets wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.adapters.adapter import A, Adapter, B
from engine.adapters.low_rank import LowRank, norm, weighted_sum
from engine.strategies.base import Arrays, Strategy

_MOST = 32  # clients that are compared in pairs


@dataclass(frozen=True)
class Agreement:
    """How far a round's clients and the server's model are from each other.

    aggregation_error: ‖server's model − Σ p_k client k's model‖ over all layers, None where the
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
    """Return what a client changed; directions that one of a lower rank lacks are zero."""
    update: Arrays = Adapter()
    for name, value in own.items():
        part = tuple(slice(n) for n in value.shape)
        update[name] = np.zeros_like(received[name])
        update[name][part] = value - received[name][part]
    return update


def _error(
    scale: float, received: Arrays, sent: Sequence[Arrays], weights: np.ndarray, server: Arrays
) -> float:
    """Return ‖server − Σ p_k client k‖, layer by layer and without a dense matrix per client."""
    models = [(scale, server)]
    models += [(-w * scale, received | own) for w, own in zip(weights, sent, strict=True)]
    deltas = [(1.0, server), (-float(weights.sum()), received)]  # clients leave theirs as it was
    errors = []
    for layer in server.layers():
        terms = [(weight, LowRank(model.b(layer), model.a(layer))) for weight, model in models]
        terms += [(w, LowRank(*d)) for w, model in deltas if (d := model.delta(layer))]
        errors.append(norm(weighted_sum(terms)))
    return math.hypot(*errors)


def _mean_cosine(updates: Sequence[Arrays], factor: str) -> float | None:
    rows = [[value.ravel() for value in update.only(factor).values()] for update in updates]
    if len(rows) < 2 or not rows[0]:
        return None
    matrix = np.stack([np.concatenate(row) for row in rows])
    matrix = matrix / np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-12)
    n = len(rows)
    return float(((matrix @ matrix.T).sum() - n) / (n * (n - 1)))
