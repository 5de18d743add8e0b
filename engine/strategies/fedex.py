"""FedEx-LoRA: FedIT whose error goes into the frozen weights."""

import numpy as np

from engine.strategies.base import BOTH, Arrays, LoraStrategy
from engine.vlm.factors import OFFSET, products


class FedEx(LoraStrategy):
    """Rule: Ā and B̄ as in FedIT, and W₀ ← W₀ + s·(Σ p_k B_k A_k − B̄Ā). The average is exact.

    Travels: A and B up; A, B and the sum of all corrections down, because a client may have missed
    rounds. Singhal et al., "FedEx-LoRA: Exact Aggregation for Federated and Efficient Fine-Tuning
    of Foundation Models", arXiv 2410.09432.
    """

    key = "fedex"
    title = "FedEx-LoRA (exact)"
    paper = "2410.09432"
    idea = "FedIT, but what averaging A and B apart gets wrong is added to the frozen weights."
    shared = BOTH
    variants = ("global",)

    def merge(self, sent: list[Arrays], weights: np.ndarray) -> Arrays:
        """The means, and the correction on top of the earlier ones."""
        before = super().merge(sent, weights)
        mean = products(before)
        for layer, exact in mean_products(sent, weights).items():
            error = self.config.lora.scale * (exact - mean[layer])
            name = f"{layer}.{OFFSET}"
            before[name] = (before.get(name, 0) + error).astype(np.float32)
        return before


def mean_products(sent: list[Arrays], weights: np.ndarray) -> Arrays:
    """Σ p_k B_k A_k by layer, in float64."""
    total: Arrays = {}
    for arrays, weight in zip(sent, weights, strict=True):
        for layer, product in products(arrays).items():
            total[layer] = total.get(layer, 0) + weight * product
    return total
