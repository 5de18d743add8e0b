"""FlexLoRA: own ranks, and the exact average cut down by singular values."""

import numpy as np

from engine.adapters.adapter import Adapter
from engine.adapters.low_rank import LowRank, best_rank, weighted_sum
from engine.strategies.base import BOTH, STRATEGIES, Arrays, Strategy


@STRATEGIES.register("flexlora")
class FlexLora(Strategy):
    """Rule: the singular value decomposition U·S·Vᵀ of Σ p_k B_k A_k; B = U·S and A = Vᵀ.

    Its first r directions are the best adapter of rank r. The server keeps ``lora.rank`` of them,
    client k is sent the first r_k. Travels: A and B at the client's own rank. Stays: the rank. Bai
    et al., "Federated Fine-tuning of Large Language Models under Heterogeneous Tasks and Client
    Resources", arXiv 2402.11505.
    """

    title = "FlexLoRA (own ranks, by singular values)"
    paper = "2402.11505"
    idea = "Each client has a rank of its own and gets the best part of the exact average."
    shared_factors = BOTH
    variants = ("global",)
    mixed_ranks = True

    def merge(
        self, sent: list[Arrays], weights: np.ndarray, before: Arrays, scale: float, rank: int
    ) -> Arrays:
        """Return the best adapter of this rank; directions that nobody trained keep their A."""
        layers = sent[0].layers()
        a, b = [], []
        for layer in layers:
            products = [LowRank(own.b(layer), own.a(layer)) for own in sent]
            best = best_rank(weighted_sum(zip(weights, products, strict=True)), rank)
            learned = len(best.a)
            zeros = np.zeros((len(best.b), rank - learned))
            a.append(np.vstack([best.a, before.a(layer)[learned:]]).astype(np.float32))
            b.append(np.hstack([best.b, zeros]).astype(np.float32))
        return Adapter.of_layers(layers, a, b)
