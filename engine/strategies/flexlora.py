"""FlexLoRA: own ranks, and the exact average cut down by singular values."""

import numpy as np

from engine.adapters.adapter import A, B, name_of
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
        merged = Arrays()
        for layer in sent[0].layers():
            b, a = best_rank(
                np.hstack([w * own.b(layer) for w, own in zip(weights, sent, strict=True)]),
                np.vstack([own.a(layer) for own in sent]),
                rank,
            )
            untrained = before.a(layer)[len(a) :]
            merged[name_of(layer, A)] = np.vstack([a, untrained]).astype(np.float32)
            zeros = np.zeros((len(b), len(untrained)))
            merged[name_of(layer, B)] = np.hstack([b, zeros]).astype(np.float32)
        return merged


def best_rank(b: np.ndarray, a: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """Return B (d_out, r) and A (r, d_in), r ≤ rank, with the product nearest to b·a.

    By Eckart and Young, through two QR decompositions: the product itself, d_out × d_in, is never
    made.
    """
    left, upper = np.linalg.qr(b.astype(np.float64))
    right, lower = np.linalg.qr(a.astype(np.float64).T)
    u, s, vt = np.linalg.svd(upper @ lower.T)
    kept = min(rank, len(s))
    return left @ (u[:, :kept] * s[:kept]), vt[:kept] @ right.T
