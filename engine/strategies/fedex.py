"""FedEx-LoRA: FedIT whose error goes into the frozen weights."""

import numpy as np

from engine.adapters.low_rank import LowRank, weighted_sum
from engine.strategies.base import BOTH, STRATEGIES, Arrays, Strategy
from engine.strategies.deltas import with_added


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
        """Return the means, and their correction Σ p_k (B_k − B̄)(A_k − Ā) on top of the earlier."""
        merged = super().merge(sent, weights, before, scale, rank)
        corrections = {}
        for layer in sent[0].layers():
            a, b = merged.a(layer), merged.b(layer)
            deviations = [LowRank(own.b(layer) - b, own.a(layer) - a) for own in sent]
            corrections[layer] = weighted_sum(zip(weights, deviations, strict=True))
        return merged | with_added(merged, corrections, scale)
