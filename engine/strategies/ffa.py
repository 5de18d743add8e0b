"""FFA-LoRA: only B is trained and averaged."""

from engine.adapters.adapter import B
from engine.strategies.base import STRATEGIES, Strategy


@STRATEGIES.register("ffa")
class Ffa(Strategy):
    """Rule: A = A₀ frozen, B̄ = Σ p_k B_k. Travels: B. Stays: nothing.

    Sun et al., "Improving LoRA in Privacy-preserving Federated Learning", arXiv 2403.12313. With a
    common A the mean of the products is the product with the mean: the average is exact.
    """

    title = "FFA-LoRA (A frozen)"
    paper = "2403.12313"
    idea = "A stays as it was drawn; everybody trains B, whose average is then exact."
    shared_factors = frozenset({B})
    variants = ("global",)
