"""FedDPA on LoRA: a global adapter with a private one beside it."""

from engine.config import ExperimentConfig
from engine.strategies.base import BOTH, LoraStrategy, Phase


class FedDpa(LoraStrategy):
    """Rule: θ_g as in FedIT; a private θ_k is trained beside it: (1 - w)·B_g·A_g + w·B_k·A_k act.

    Travels: A and B of the global adapter. Stays: a whole private adapter. Yang et al.,
    "Dual-Personalizing Adapter for Federated Foundation Models", arXiv 2403.19211. Its authors'
    code trains the private adapter in this mixture with w = 1/2, and answers with it; that it may
    weigh the two anew for every question, by its likeness to the client's data, is left out. A
    client trains twice as many steps as elsewhere.
    """

    key = "feddpa"
    title = "FedDPA (a private one beside)"
    paper = "2403.19211"
    idea = "The shared adapter stays in place, and each client trains a private one beside it."
    shared_factors = BOTH
    personal_factors = BOTH
    variants = ("global", "personal")
    two_adapters = True

    @classmethod
    def phases(cls, config: ExperimentConfig) -> tuple[Phase, ...]:
        """The global adapter, then the private one beside what was received."""
        return (
            Phase(start_from_personal=False, persists=False),
            Phase(uploads=False, mix_weight=config.feddpa.weight),
        )
