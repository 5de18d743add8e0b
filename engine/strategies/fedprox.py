"""FedProx on LoRA: FedIT whose clients are held back."""

from engine.config import ExperimentConfig
from engine.strategies.base import Phase
from engine.strategies.fedit import FedIT


class FedProx(FedIT):
    """Rule: FedIT, with μ/2·‖θ − θ_sent‖² added to every client's loss. Travels: A and B.

    Li et al., "Federated Optimization in Heterogeneous Networks", arXiv 1812.06127, on the LoRA
    factors. μ = 0 is FedIT.
    """

    key = "fedprox"
    title = "FedProx (held back)"
    paper = "1812.06127"
    idea = "FedIT, but training may not stray far from what the server sent."

    @classmethod
    def phases(cls, config: ExperimentConfig) -> tuple[Phase, ...]:
        """One, with a pull to what was sent."""
        return (Phase(prox_mu=config.fedprox.mu),)
