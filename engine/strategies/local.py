"""Every client for itself."""

from engine.strategies.base import BOTH, LoraStrategy


class Local(LoraStrategy):
    """Rule: none. Travels: nothing. Stays: A and B. What a client reaches without the others."""

    key = "local"
    title = "Local only"
    paper = ""
    idea = "Each client trains its own adapter and shares nothing."
    personal_factors = BOTH
    variants = ("personal",)
