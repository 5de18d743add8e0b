"""RoLoRA: the two factors take turns."""

from engine.adapters.adapter import A, B, factor_of
from engine.strategies.base import BOTH, STRATEGIES, Strategy


@STRATEGIES.register("rolora")
class RoLora(Strategy):
    """Rule: odd rounds train and average B, even rounds A; the other is frozen and common to all.

    Travels: B or A up, both down (a client may have missed rounds). Stays: nothing. Chen et al.,
    "Robust Federated Finetuning of LLMs via Alternating Optimization of LoRA", arXiv 2502.01755.
    With one factor common the average is exact.
    """

    title = "RoLoRA (taking turns)"
    paper = "2502.01755"
    idea = "Odd rounds train B, even rounds A: each average is exact, and both factors learn."
    shared_factors = BOTH
    variants = ("global",)

    @classmethod
    def trains(cls, name: str, round_: int) -> bool:
        """B in odd rounds, A in even ones."""
        return factor_of(name) == (B if round_ % 2 else A)
