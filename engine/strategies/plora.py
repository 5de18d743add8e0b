"""pLoRA: the personalised LoRA of FedVLM."""

from typing import Literal

from pydantic import Field

from engine.adapters.adapter import A, B
from engine.strategies.base import STRATEGIES, Options, Phase, Strategy


class PLoraOptions(Options):
    """Options of ``plora``."""

    start: Literal["persistent", "reset"] = Field(
        "persistent", title="pLoRA: A goes on from the round before, or is reset"
    )


@STRATEGIES.register("plora")
class PLora(Strategy):
    """Rule: B̄ = Σ p_k B_k, client k uses B̄·A_k. Travels: B. Stays: A_k, kept from round to round.

    FedVLM, arXiv 2507.17088. It is the mirror image of FedSA-LoRA (arXiv 2410.01463), which shares
    A, and the same rule as homogeneous Fed-ALoRA (arXiv 2509.25414). There is no natural global
    model; ``global`` here is the server's own view B̄·A₀. With ``plora.start=reset`` training starts
    from A₀ in every round; the A_k that it leads to still answers.
    """

    title = "FedVLM pLoRA (personalised)"
    paper = "2507.17088"
    idea = "B is shared and averaged; each client keeps an A of its own, which never leaves it."
    options_model = PLoraOptions
    shared_factors = frozenset({B})
    personal_factors = frozenset({A})
    variants = ("global", "personal")

    def phases(self) -> tuple[Phase, ...]:
        """One, from the A of the round before or from A₀."""
        return (Phase(start_from_personal=self.options.start == "persistent"),)
