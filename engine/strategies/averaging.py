"""Averages of what clients send: the mean, and rules that bear with clients that send garbage.

Only the mean weighs clients by their samples: how many it has is what a client says of itself, and
a rule that is to bear with faulty clients takes nobody's word for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from engine.adapters.adapter import Adapter

Arrays = Adapter[np.ndarray]  # factors by name, such as ….q_proj.lora_A
Rule = Literal["mean", "median", "trimmed-mean", "multi-krum"]


@dataclass(frozen=True)
class Average:
    """A rule of averaging, taken over updates (what was sent back minus what had been sent out).

    - ``mean``: θ̄ = Σ p_k θ_k.
    - ``median``: of every number by itself, over clients.
    - ``trimmed-mean``: of every number by itself, without its ``faulty`` lowest and highest values.
      Both: Yin et al., "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates",
      arXiv 1803.01498.
    - ``multi-krum``: the mean of the n - f clients that are nearest to their n - f - 2 nearest
      others; f is ``faulty``. Blanchard et al., "Machine Learning with Adversaries: Byzantine
      Tolerant Gradient Descent", arXiv 1703.02757.
    """

    rule: Rule = "mean"
    faulty: int = 1

    @property
    def fewest(self) -> int:
        """The fewest clients of a round with which the rule holds what it promises."""
        needed = {"mean": 1, "median": 3, "trimmed-mean": 2 * self.faulty + 1}
        return needed.get(self.rule, 2 * self.faulty + 3)

    def __call__(self, sent: Sequence[Arrays], weights: np.ndarray, before: Arrays) -> Arrays:
        """Return the average of factors with the same names and shapes, in float64 inside.

        ``weights``: shares of all samples, p_k; ``before``: what the clients had been sent.
        """
        if self.rule == "mean":
            return weighted_mean(sent, weights)
        if self.rule == "multi-krum":
            sent = [sent[k] for k in self._nearest(sent, before)]
        merged: Arrays = Adapter()
        for name, start in before.items():
            if name in sent[0]:
                updates = _updates(sent, before, name)
                merged[name] = (start + self._over_clients(updates)).astype(start.dtype)
        return merged

    def _over_clients(self, updates: np.ndarray) -> np.ndarray:
        """Return the average of (clients, …) over the clients."""
        if self.rule == "median":
            return np.median(updates, axis=0)
        if self.rule == "trimmed-mean":
            updates = np.sort(updates, axis=0)[self.faulty : len(updates) - self.faulty]
        return updates.mean(axis=0)

    def _nearest(self, sent: Sequence[Arrays], before: Arrays) -> list[int]:
        """Return the numbers of the n - f clients with the lowest scores, in order."""
        distances = _squared_distances(sent, before)
        np.fill_diagonal(distances, np.inf)
        nearest = np.sort(distances, axis=1)[:, : max(1, len(sent) - self.faulty - 2)]
        order = np.argsort(nearest.sum(axis=1), kind="stable")
        return sorted(order[: len(sent) - self.faulty].tolist())


MEAN = Average()


def weighted_mean(sent: Sequence[Arrays], weights: np.ndarray) -> Arrays:
    """Return Σ weight · arrays over clients with the same keys, as a running sum in float64."""
    total: Arrays = Adapter()
    for arrays, weight in zip(sent, weights, strict=True):
        for name, values in arrays.items():
            total[name] = total.get(name, 0) + weight * values.astype(np.float64)
    return Adapter({name: value.astype(sent[0][name].dtype) for name, value in total.items()})


def _updates(sent: Sequence[Arrays], before: Arrays, name: str) -> np.ndarray:
    """Return what each client changed of a factor, (clients, …) in float64."""
    return np.stack([own[name].astype(np.float64) - before[name] for own in sent])


def _squared_distances(sent: Sequence[Arrays], before: Arrays) -> np.ndarray:
    """Return ‖u_i - u_j‖² between all clients' whole updates, (clients, clients).

    In float64, for in float32 the difference of large squares loses what sets clients apart.
    """
    products = np.zeros((len(sent), len(sent)))
    for name in sent[0]:
        flat = _updates(sent, before, name).reshape(len(sent), -1)
        products += flat @ flat.T
    squares = np.diag(products)
    return np.maximum(squares[:, None] + squares[None, :] - 2 * products, 0.0)
