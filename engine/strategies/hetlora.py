"""HetLoRA: every client has the rank that it can afford."""

import numpy as np

from engine.adapters.adapter import Adapter
from engine.adapters.low_rank import LowRank, norm
from engine.strategies.averaging import weighted_mean
from engine.strategies.base import BOTH, STRATEGIES, Arrays, Strategy


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
        whole = [own.padded(rank) for own in sent]
        merged: Arrays = Adapter()
        for layer in sent[0].layers():
            sizes = np.array([norm(LowRank(own.b(layer), own.a(layer))) for own in sent])
            shares = sizes / sizes.sum() if sizes.sum() else weights
            merged |= weighted_mean([own.of_layer(layer) for own in whole], shares)
        return merged
