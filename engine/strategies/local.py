"""Every client for itself."""

from engine.strategies.base import BOTH, STRATEGIES, Strategy


@STRATEGIES.register("local")
class Local(Strategy):
    """Rule: none. Travels: nothing. Stays: A and B. What a client reaches without the others."""

    title = "Local only"
    idea = "Each client trains its own adapter and shares nothing."
    personal_factors = BOTH
    variants = ("personal",)
