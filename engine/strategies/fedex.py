"""FedEx-LoRA: FedIT whose error goes into the frozen weights."""

import numpy as np

from engine.adapters.adapter import DELTA, name_of
from engine.adapters.products import products
from engine.strategies.base import BOTH, STRATEGIES, Arrays, Strategy


@STRATEGIES.register("fedex")
class FedEx(Strategy):
    """Rule: Ā and B̄ as in FedIT, and W₀ ← W₀ + s·(Σ p_k B_k A_k − B̄Ā). The average is exact.

    Travels: A and B up; A, B and the sum of all corrections down, because a client may have missed
    rounds. Singhal et al., "FedEx-LoRA: Exact Aggregation for Federated and Efficient Fine-Tuning
    of Foundation Models", arXiv 2410.09432.
    """

    title = "FedEx-LoRA (exact)"
    paper = "2410.09432"
    idea = "FedIT, but what averaging A and B apart gets wrong is added to the frozen weights."
    shared_factors = BOTH
    variants = ("global",)

    def merge(
        self, sent: list[Arrays], weights: np.ndarray, before: Arrays, scale: float, rank: int
    ) -> Arrays:
        """Return the means, and their correction on top of the earlier ones."""
        merged = super().merge(sent, weights, before, scale, rank)
        mean = products(merged)
        exact = mean_products(sent, weights)
        errors = {layer: exact[layer] - mean[layer] for layer in exact}
        return merged | added_deltas(merged, errors, scale)


def mean_products(sent: list[Arrays], weights: np.ndarray) -> dict[str, np.ndarray]:
    """Σ p_k B_k A_k by layer, in float64."""
    total: dict[str, np.ndarray] = {}
    for arrays, weight in zip(sent, weights, strict=True):
        for layer, product in products(arrays).items():
            total[layer] = total.get(layer, 0) + weight * product
    return total


def added_deltas(before: Arrays, updates: dict[str, np.ndarray], scale: float) -> Arrays:
    """Return the offsets in ``before`` with s·update added, by ``<layer>.offset``, in float32."""
    deltas = Arrays()
    for layer, update in updates.items():
        name = name_of(layer, DELTA)
        deltas[name] = (before.get(name, np.float64(0)) + scale * update).astype(np.float32)
    return deltas
