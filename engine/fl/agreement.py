"""How well the clients of a round agree, and what averaging their factors gets wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.adapters.adapter import DELTA, A, B, name_of
from engine.adapters.products import Arrays
from engine.strategies import Strategy

_MOST = 32  # clients that are compared in pairs


@dataclass(frozen=True)
class Agreement:
    """How far apart clients and server are.

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
        clients = [received | own for own in sent]
        squares = (_error(layer, scale, clients, weights, merged) for layer in merged.layers())
        error = float(np.sqrt(sum(squares)))
    updates = [_update(own, received) for own in sent[:_MOST]]
    return Agreement(error, _mean_cosine(updates, A), _mean_cosine(updates, B))


def _error(
    layer: str, scale: float, clients: Sequence[Arrays], weights: np.ndarray, server: Arrays
) -> float:
    """Return ‖s·BA + Δ − Σ p_k (s·B_k A_k + Δ_k)‖² of one layer.

    The products are one product of stacked factors, b·a; where these are thin their norm is that of
    two small triangles, and no matrix of the layer's size is made.
    """
    shares = [scale, *(-scale * weight for weight in weights)]
    adapters = [server, *clients]
    pairs = zip(shares, adapters, strict=True)
    b = np.hstack([share * own.b(layer).astype(np.float64) for share, own in pairs])
    a = np.vstack([own.a(layer) for own in adapters]).astype(np.float64)
    name = name_of(layer, DELTA)
    if name in server or name in clients[0]:
        difference = b @ a + server.get(name, 0)
        for own, weight in zip(clients, weights, strict=True):
            difference -= weight * own.get(name, np.float64(0))
    elif len(a) < min(len(b), a.shape[1]):
        difference = np.linalg.qr(b, mode="r") @ np.linalg.qr(a.T, mode="r").T
    else:
        difference = b @ a
    return float(np.square(difference).sum())


def _update(own: Arrays, received: Arrays) -> Arrays:
    """Return what a client changed; zeros stand for the directions that a lower rank lacks."""
    update = Arrays()
    for name, value in own.items():
        part = tuple(slice(n) for n in value.shape)
        update[name] = np.zeros_like(received[name])
        update[name][part] = value - received[name][part]
    return update


def _mean_cosine(updates: Sequence[Arrays], factor: str) -> float | None:
    parts = [[value.ravel() for value in own.only(factor).values()] for own in updates]
    if len(parts) < 2 or not parts[0]:
        return None
    matrix = np.stack([np.concatenate(part) for part in parts])
    matrix = matrix / np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-12)
    n = len(matrix)
    return float(((matrix @ matrix.T).sum() - n) / (n * (n - 1)))
