"""Choose the corner: each client keeps A, B, both or neither, by what serves its own rows best."""

import numpy as np
from pydantic import Field

from engine.strategies.base import BOTH, CORNERS, STRATEGIES, Options, Strategy


class CornersOptions(Options):
    """Options of ``corners``."""

    held_out: float = Field(0.2, gt=0, le=0.5, title="Corners: share of rows to choose by")
    until: float = Field(0.5, gt=0, le=1, title="Corners: share of the rounds in which to choose")


@STRATEGIES.register("corners")
class Corners(Strategy):
    """Rule: a client goes on from, and answers with, one of (Ā,B̄), (A_k,B̄), (Ā,B_k), (A_k,B_k).

    FedIT, pLoRA, FedSA-LoRA and training alone are its four constant cases. After each round of the
    first half a client takes the corner with the least loss on rows that it has held out from
    training so far, and of those that are no more than a standard error worse the one that shares
    most. Then it stays with its choice and trains on all of its rows. Travels: A and B. Stays: A_k
    and B_k too, and which corner it chose. What the choice costs: with both factors on the way
    twice the bytes of pLoRA, none of the secrecy of a factor that stays at home, and passes
    without gradients over the held-out rows, four models each, in the rounds with a choice. That
    which factor to keep depends on what differs between clients is also the finding of IAT, arXiv
    2606.08687; nobody has published this rule, as far as we found.
    """

    title = "Choose the corner (never worse)"
    idea = "Each client tries which of A and B to keep of its own, and goes on with what is best."
    options_model = CornersOptions
    shared_factors = BOTH
    personal_factors = BOTH
    variants = ("global", "personal")
    corners = tuple(CORNERS)

    def held_out(self, round_: int, rounds: int) -> float:
        """Hold rows out for as long as they are needed."""
        return self.options.held_out if self.decides(round_, rounds) else 0.0

    def decides(self, round_: int, rounds: int) -> bool:
        """Choose in the first part of the rounds, at least once."""
        return round_ <= max(1, int(self.options.until * rounds))

    def choose(self, losses: np.ndarray) -> str:
        """Of the corners within a standard error of the best take the one that shares most."""
        best = losses[losses.mean(axis=1).argmin()]
        excess = losses - best
        error = excess.std(axis=1) / max(1, losses.shape[1] - 1) ** 0.5
        return self.corners[int((excess.mean(axis=1) <= error).argmax())]
