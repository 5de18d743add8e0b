"""Ditto on LoRA: a global adapter, and a personal one held near it."""

from engine.config import ExperimentConfig
from engine.strategies.base import BOTH, LoraStrategy, Phase


class Ditto(LoraStrategy):
    """Rule: θ_g as in FedIT; a personal θ_k is trained with λ/2·‖θ_k − θ_g‖² in its loss.

    Travels: A and B of the global adapter. Stays: a whole personal adapter. Li et al., "Ditto: Fair
    and Robust Federated Learning Through Personalization", arXiv 2012.04221, on the LoRA factors. A
    client trains twice as many steps as elsewhere.
    """

    key = "ditto"
    title = "Ditto (two adapters)"
    paper = "2012.04221"
    idea = "Each client trains the shared adapter and, held near it, a whole one of its own."
    shared_factors = BOTH
    personal_factors = BOTH
    variants = ("global", "personal")
    two_adapters = True

    @classmethod
    def phases(cls, config: ExperimentConfig) -> tuple[Phase, ...]:
        """The global adapter, then the personal one."""
        return (
            Phase(start_from_personal=False, persists=False),
            Phase(uploads=False, prox_mu=config.ditto.lam),
        )
