"""HetLoRA: every client has the rank that it can afford."""

import numpy as np

from engine.adapters.adapter import split_name
from engine.adapters.products import products
from engine.strategies.base import BOTH, STRATEGIES, Arrays, Strategy, weighted_mean


@STRATEGIES.register("hetlora")
class HetLora(Strategy):
    """Rule: Ā and B̄ of zero-padded factors, client k weighted by ‖B_k A_k‖_F in every layer.

    Travels: A and B at the client's own rank r_k, up and down (the first r_k directions). Stays:
    the rank. Cho et al., "Heterogeneous LoRA for Federated Fine-tuning of On-Device Foundation
    Models", arXiv 2401.06432, without its pruning of ranks during training. ``global`` is what a
    client makes of the server's adapter: its first r_k directions.
    """

    title = "HetLoRA (own ranks, padded)"
    paper = "2401.06432"
    idea = "Each client has a rank of its own; factors are padded with zeros and averaged."
    shared_factors = BOTH
    variants = ("global",)
    mixed_ranks = True

    def merge(
        self, sent: list[Arrays], weights: np.ndarray, before: Arrays, scale: float, rank: int
    ) -> Arrays:
        """Weigh by the size of what each client has learned; by samples where none has."""
        norms = [{n: np.linalg.norm(value) for n, value in products(own).items()} for own in sent]
        whole = [own.padded(rank) for own in sent]
        merged = Arrays()
        for layer in norms[0]:
            sizes = np.array([own[layer] for own in norms])
            shares = sizes / sizes.sum() if sizes.sum() else weights
            layers = [own.where(lambda name, at=layer: split_name(name)[0] == at) for own in whole]
            merged |= weighted_mean(layers, shares)
        return merged
