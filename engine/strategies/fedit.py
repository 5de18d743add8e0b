"""FedIT: FedAvg on LoRA."""

from engine.strategies.base import BOTH, STRATEGIES, Strategy


@STRATEGIES.register("fedit")
class FedIT(Strategy):
    """Rule: Ā = Σ p_k A_k and B̄ = Σ p_k B_k, averaged separately. Travels: A and B. Stays: nothing.

    Zhang et al., "Towards Building the Federated GPT: Federated Instruction Tuning",
    arXiv 2305.05644; McMahan et al., arXiv 1602.05629. The mean of products is not the product of
    means, so B̄Ā is not exactly the mean update.
    """

    title = "FedIT (FedAvg on LoRA)"
    paper = "2305.05644"
    idea = "One adapter for everyone: the server averages all that the clients learnt."
    shared_factors = BOTH
    variants = ("global",)
