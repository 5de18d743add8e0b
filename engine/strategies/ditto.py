"""Ditto on LoRA: a global adapter, and a personal one held near it."""

from pydantic import Field

from engine.strategies.base import BOTH, STRATEGIES, Options, Phase, Strategy


class DittoOptions(Options):
    """Options of ``ditto``."""

    lam: float = Field(0.1, ge=0, le=100, title="Ditto: pull to the shared adapter, λ")


@STRATEGIES.register("ditto")
class Ditto(Strategy):
    """Rule: θ_g as in FedIT; a personal θ_k is trained with λ/2·‖θ_k − θ_g‖² in its loss.

    Travels: A and B of the global adapter. Stays: a whole personal adapter. Li et al., "Ditto: Fair
    and Robust Federated Learning Through Personalization", arXiv 2012.04221, on the LoRA factors. A
    client trains twice as many steps as elsewhere.
    """

    title = "Ditto (two adapters)"
    paper = "2012.04221"
    idea = "Each client trains the shared adapter and, held near it, a whole one of its own."
    options_model = DittoOptions
    shared_factors = BOTH
    personal_factors = BOTH
    variants = ("global", "personal")
    two_adapters = True

    def phases(self) -> tuple[Phase, ...]:
        """Train the global adapter, then the personal one."""
        return (
            Phase(start_from_personal=False, persists=False),
            Phase(uploads=False, prox_mu=self.options.lam),
        )
