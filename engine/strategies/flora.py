"""FLoRA: all adapters are stacked and become part of the frozen weights."""

import numpy as np

from engine.adapters.low_rank import LowRank, weighted_sum
from engine.strategies.base import BOTH, STRATEGIES, Arrays, Strategy
from engine.strategies.deltas import with_added


@STRATEGIES.register("flora")
class FLora(Strategy):
    """Rule: W₀ ← W₀ + s·Σ p_k B_k A_k, then everyone restarts from A₀ and B = 0. Exact.

    The stack [B_1 … B_K]·[p_1 A_1; …; p_K A_K] is that sum: one factor carries the weight, not
    both. Travels: A and B up, at the client's own rank; the sum of all stacks down, because a
    client may have missed rounds (the paper sends the stack of one round, K times an adapter).
    Wang et al., "FLoRA: Federated Fine-Tuning Large Language Models with Heterogeneous Low-Rank
    Adaptations", arXiv 2409.05976.
    """

    title = "FLoRA (stacked, exact)"
    paper = "2409.05976"
    idea = "All adapters are added to the frozen weights, and everyone starts a new one."
    shared_factors = BOTH
    variants = ("global",)
    mixed_ranks = True

    def merge(
        self, sent: list[Arrays], weights: np.ndarray, before: Arrays, scale: float, rank: int
    ) -> Arrays:
        """Return the sum of all stacks so far, and no factors, for they restart."""
        stacks = {
            layer: weighted_sum(
                (weight, LowRank(own.b(layer), own.a(layer)))
                for weight, own in zip(weights, sent, strict=True)
            )
            for layer in sent[0].layers()
        }
        return with_added(before, stacks, scale)
