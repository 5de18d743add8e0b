"""Potara: a federated and a local adapter, merged by how sure each is of its numbers."""

import numpy as np

from engine.strategies.base import BOTH, STRATEGIES, Phase, Strategy

_DAMPING = 0.1  # of the mean: what no row has moved would else decide alone


@STRATEGIES.register("potara")
class Potara(Strategy):
    """Rule: θ_g as in FedIT, θ_k as alone; λ·B_g·A_g + (1 - λ)·B_k·A_k answers.

    λ = (b - c) / (a + b - 2c) gives the sum the least variance: a and b are the traces of the
    inverse diagonal Fisher information at θ_g and at θ_k, c that of their covariance, here all of
    the gradients on rows of the client's own, after every round. Travels: A and B of the federated
    adapter. Stays: a whole local adapter, and λ. Zou et al., "Communication-Efficient Personalized
    Adaptation via Federated-Local Model Merging", arXiv 2602.18658. The products are merged, by
    factors side by side: exact, where the mean of A and of B apart would be another model. A client
    trains twice as many steps as elsewhere.
    """

    title = "Potara (federated and local, merged)"
    paper = "2602.18658"
    idea = "Each client trains the shared adapter and one alone, and merges them by their variance."
    shared_factors = BOTH
    personal_factors = BOTH
    variants = ("global", "personal")
    two_adapters = True
    merges = True

    def phases(self) -> tuple[Phase, ...]:
        """Train the federated adapter, then the local one."""
        return Phase(start_from_personal=False, persists=False), Phase(uploads=False)

    def own_weight(self, shared: np.ndarray, own: np.ndarray, both: np.ndarray) -> float:
        """Return 1 - λ; see the base."""
        damping = _DAMPING * float((shared + own).mean()) / 2
        if not damping:
            return 0.5
        of_shared, of_own = 1 / (shared + damping), 1 / (own + damping)
        a, b = float(of_shared.sum()), float(of_own.sum())
        c = float((both * of_shared * of_own).sum())
        return min(1.0, max(0.0, (a - c) / (a + b - 2 * c)))
