"""FedSA-LoRA: A is shared, B is the client's own."""

from engine.adapters.adapter import A, B
from engine.strategies.base import STRATEGIES, Strategy


@STRATEGIES.register("fedsa")
class FedSa(Strategy):
    """Rule: Ā = Σ p_k A_k, client k uses B_k·Ā. Travels: A. Stays: B_k, kept from round to round.

    Guo et al., "Selective Aggregation for Low-Rank Adaptation in Federated Learning",
    arXiv 2410.01463: the mirror image of pLoRA. The server knows no B, so it has no global model.
    """

    title = "FedSA-LoRA (A shared)"
    paper = "2410.01463"
    idea = "The mirror image of pLoRA: A is shared and averaged, each client keeps a B of its own."
    shared_factors = frozenset({A})
    personal_factors = frozenset({B})
    variants = ("personal",)
