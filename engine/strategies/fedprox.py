"""FedProx on LoRA: FedIT whose clients are held back."""

from pydantic import Field

from engine.strategies.base import STRATEGIES, Options, Phase
from engine.strategies.fedit import FedIT


class FedProxOptions(Options):
    """Options of ``fedprox``."""

    mu: float = Field(0.1, ge=0, le=100, title="FedProx: pull to the shared adapter, μ")


@STRATEGIES.register("fedprox")
class FedProx(FedIT):
    """Rule: FedIT, with μ/2·‖θ − θ_sent‖² added to every client's loss. Travels: A and B.

    Li et al., "Federated Optimization in Heterogeneous Networks", arXiv 1812.06127, on the LoRA
    factors. μ = 0 is FedIT.
    """

    title = "FedProx (held back)"
    paper = "1812.06127"
    idea = "FedIT, but training may not stray far from what the server sent."
    options_model = FedProxOptions

    def phases(self) -> tuple[Phase, ...]:
        """One, with a pull to what was sent."""
        return (Phase(prox_mu=self.options.mu),)
