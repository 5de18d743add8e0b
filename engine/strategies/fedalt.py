"""FedALT: an adapter of one's own that is never reset, beside the mean of the others'."""

from typing import Any

import numpy as np
from pydantic import Field

from engine.adapters.adapter import Adapter, B
from engine.strategies.base import BOTH, STRATEGIES, Arrays, Options, Phase, Strategy


class FedAltOptions(Options):
    """Options of ``fedalt``."""

    weight: float = Field(0.5, ge=0.05, le=0.95, title="FedALT: weight of the client's own adapter")


@STRATEGIES.register("fedalt")
class FedAlt(Strategy):
    """Rule: (1 - w)·B_others·A_others + w·B_k·A_k act; only A_k and B_k train, from round to round.

    Travels: A_k and B_k up; down their plain mean, from which a client takes its own share to have
    the mean of the others. Stays: A_k and B_k, which training never leaves. Bian et al., "FedALT:
    Federated Fine-Tuning through Adaptive Local Training with Rest-of-World LoRA", arXiv
    2503.11880. Its gate, which mixes the two anew for every token, is left out, as in ``feddpa``:
    w = 1/2 is where it begins, and what it does to a token no plain LoRA adapter could be exported
    as.
    """

    title = "FedALT (the others beside)"
    paper = "2503.11880"
    idea = "Each client goes on with its own adapter, beside the frozen mean of the others'."
    options_model = FedAltOptions
    shared_factors = BOTH
    personal_factors = BOTH
    variants = ("personal",)

    def phases(self) -> tuple[Phase, ...]:
        """Train the client's own adapter beside that of the others."""
        return (Phase(mix_weight=self.options.weight),)

    def beside(self, received: Adapter[Any], own: Adapter[Any], share: float) -> Adapter[Any]:
        """Return the mean of the others, (θ̄ - p·θ_k) / (1 - p); B = 0 where there is nobody."""
        if not share:
            return received
        if share == 1:
            return received | {name: 0 * value for name, value in received.only(B).items()}
        return received | {
            name: (mean - share * own[name]) / (1 - share) for name, mean in received.items()
        }

    def merge(
        self, sent: list[Arrays], weights: np.ndarray, before: Arrays, scale: float, rank: int
    ) -> Arrays:
        """Return the plain mean: every client counts as much, as in the paper."""
        return super().merge(sent, np.full(len(sent), 1 / len(sent)), before, scale, rank)
