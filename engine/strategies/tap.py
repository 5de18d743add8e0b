"""TAP: a client takes the shared adapter for its own where that is clearly better."""

import numpy as np
from pydantic import Field

from engine.strategies.base import BOTH, STRATEGIES, Options, Phase, Strategy


class TapOptions(Options):
    """Options of ``tap``."""

    margin: float = Field(0.01, ge=0, le=10, title="TAP: by how much the shared one must be better")


@STRATEGIES.register("tap")
class Tap(Strategy):
    """Rule: θ_g as in FedIT; θ_k goes on by itself, but where loss(θ_g) + m < loss(θ_k) it is θ_g.

    Travels: A and B of the shared adapter. Stays: a whole adapter of the client's own, and which of
    the two it took. Lee et al., "TAP: Two-Stage Adaptive Personalization of Multi-Task and
    Multi-Modal Foundation Models in Federated Learning", arXiv 2509.26524. There a client replaces
    the blocks that a task of its own uses, by the losses in training; with one task that is the
    whole adapter, and the losses are of a pass over what the client trains on. The second stage, a
    distillation after the last round, is left out. A client trains twice as many steps as
    elsewhere.
    """

    title = "TAP (replaced where better)"
    paper = "2509.26524"
    idea = "Each client's own adapter gives way to the shared one where that is clearly better."
    options_model = TapOptions
    shared_factors = BOTH
    personal_factors = BOTH
    variants = ("global", "personal")
    two_adapters = True
    corners = compared = ("local", "fedit")
    undecided = "local"

    def phases(self) -> tuple[Phase, ...]:
        """Train the shared adapter, then the client's own."""
        return Phase(start_from_personal=False, persists=False), Phase(uploads=False)

    def choose(self, losses: np.ndarray, votes: np.ndarray, senders: int) -> str:
        """Take the shared adapter where it beats the own one by the margin."""
        own, shared = losses.mean(axis=1)
        return "fedit" if shared + self.options.margin < own else "local"
