"""FlexLoRA: own ranks, and the exact average cut down by singular values."""

import numpy as np

from engine.adapters.factors import A, B, factor_of
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
        merged: Arrays = {}
        for name in (name for name in sent[0] if factor_of(name) == A):
            partner = name.removesuffix(A) + B
            b, a = best_rank(
                np.hstack([w * own[partner] for w, own in zip(weights, sent, strict=True)]),
                np.vstack([own[name] for own in sent]),
                rank,
            )
            learned = len(a)
            merged[name] = np.vstack([a, before[name][learned:]]).astype(np.float32)
            zeros = np.zeros((len(b), rank - learned))
            merged[partner] = np.hstack([b, zeros]).astype(np.float32)
        return merged


def best_rank(b: np.ndarray, a: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """B (d_out, r) and A (r, d_in), r ≤ rank, whose product is nearest to b·a (Eckart and Young).

    Through two QR decompositions: the product itself, d_out × d_in, is never made.
    """
    left, upper = np.linalg.qr(b.astype(np.float64))
    right, lower = np.linalg.qr(a.astype(np.float64).T)
    u, s, vt = np.linalg.svd(upper @ lower.T)
    kept = min(rank, len(s))
    return left @ (u[:, :kept] * s[:kept]), vt[:kept] @ right.T
