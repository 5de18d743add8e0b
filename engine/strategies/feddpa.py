"""FedDPA on LoRA: a global adapter with a private one beside it."""

from pydantic import Field

from engine.strategies.base import BOTH, STRATEGIES, Options, Phase, Strategy


class FedDpaOptions(Options):
    """Options of ``feddpa``."""

    weight: float = Field(0.5, ge=0.05, le=0.95, title="FedDPA: weight of the private adapter")


@STRATEGIES.register("feddpa")
class FedDpa(Strategy):
    """Rule: θ_g as in FedIT; a private θ_k is trained beside it: (1 - w)·B_g·A_g + w·B_k·A_k act.

    Travels: A and B of the global adapter. Stays: a whole private adapter. Yang et al.,
    "Dual-Personalizing Adapter for Federated Foundation Models", arXiv 2403.19211. Its authors'
    code trains the private adapter in this mixture with w = 1/2, and answers with it; that it may
    weigh the two anew for every question, by its likeness to the client's data, is left out. A
    client trains twice as many steps as elsewhere.
    """

    title = "FedDPA (a private one beside)"
    paper = "2403.19211"
    idea = "The shared adapter stays in place, and each client trains a private one beside it."
    options_model = FedDpaOptions
    shared_factors = BOTH
    personal_factors = BOTH
    variants = ("global", "personal")
    two_adapters = True

    def phases(self) -> tuple[Phase, ...]:
        """Train the global adapter, then the private one beside what was received."""
        return (
            Phase(start_from_personal=False, persists=False),
            Phase(uploads=False, mix_weight=self.options.weight),
        )
