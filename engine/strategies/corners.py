"""Choose the corner: each client keeps half of its own B, or all or nothing, as its rows say."""

from typing import NamedTuple

import numpy as np
from pydantic import Field

from engine.adapters.adapter import VOTES, VOTES_NAME, Adapter, B
from engine.strategies.base import BOTH, CORNERS, STRATEGIES, Arrays, Options, Strategy


class CornersOptions(Options):
    """Options of ``corners``."""

    held_out: float = Field(0.2, gt=0, le=0.5, title="Corners: share of rows to choose by")
    until: float = Field(0.5, gt=0, le=1, title="Corners: share of the rounds in which to choose")


class _Gap(NamedTuple):
    """How much likelier right answers are at (Ā,B_k) than at (Ā,B̄), and the variance of that.

    A probability, unlike a loss, is bounded: an average of adapters that disagree is unsure, loses
    little, and errs often.
    """

    mean: float
    variance: float

    @classmethod
    def of(cls, losses: np.ndarray) -> "_Gap":
        """Return the gap by losses per answer token (two, rows)."""
        shared, own = np.exp(-losses)
        gaps, rows = own - shared, len(own)
        variance = gaps.var(ddof=1) / rows if rows > 1 else gaps[0] ** 2
        return cls(float(gaps.mean()), float(variance))


@STRATEGIES.register("corners")
class Corners(Strategy):
    """Rule: a client goes on from, and answers with, Ā and B̄ + w (B_k - B̄), w one of 0, ½ and 1.

    FedIT and FedSA-LoRA are its constant cases 0 and 1. At ½, where every client begins, what is a
    client's own adds up to twice of what it learns of it in a round, and hardly harms the mean. In
    the first half of the rounds a client holds out a fifth of its rows and, after each round, asks
    whether right answers on them are likelier with B_k or with B̄: where either is ahead by more
    than a standard error it goes there, else it stays at ½. Then it stays with its choice and
    trains on all of its rows. A few rows say little, so clients vote: each sends, with its factors,
    how far B_k is ahead and how sure that is, and what a client goes by is its own figure, shrunk
    to the mean of all as far as clients agree (empirical Bayes).

    Travels: A and B, and the votes. Stays: B_k, and w. What the choice costs: with both factors on
    the way twice the bytes of pLoRA, and 16 more; none of the secrecy of a factor that stays at
    home, and four numbers about a client's rows (none where what is sent is clipped); two passes
    without gradients over the held-out rows in each round with a choice. A is always shared:
    FedSA-LoRA was in no cell of benchmarks/NEVER_WORSE.md a point behind training alone. That it
    depends on what differs between clients which factor is better kept is also the finding of IAT,
    arXiv 2606.08687; to mix a client's own with the mean is the idea of APFL, arXiv 2003.13461;
    this rule nobody has published, as far as we found.
    """

    title = "Choose the corner (never worse)"
    idea = "Each keeps half of its own B; all or nothing of it where its rows and the votes say so."
    options_model = CornersOptions
    shared_factors = BOTH | {VOTES}
    personal_factors = frozenset({B})
    variants = ("global", "personal")
    corners = tuple(CORNERS)  # older runs ended at plora and local: stored choices are places here
    compared = ("fedit", "fedsa")
    undecided = "half"

    def held_out(self, round_: int, rounds: int) -> float:
        """Hold rows out for as long as they are needed."""
        return self.options.held_out if self.decides(round_, rounds) else 0.0

    def decides(self, round_: int, rounds: int) -> bool:
        """Choose in the first part of the rounds, at least once."""
        return round_ <= max(1, int(self.options.until * rounds))

    def extras(self) -> Arrays:
        """Return the votes of nobody."""
        return Adapter({VOTES_NAME: np.zeros(4, np.float32)})

    def vote(self, losses: np.ndarray) -> np.ndarray:
        """Return what the server averages: one voter, its gap, the gap's square and variance."""
        gap = _Gap.of(losses)
        return np.array([1.0, gap.mean, gap.mean**2, gap.variance])

    def choose(self, losses: np.ndarray, votes: np.ndarray, senders: int) -> str:
        """Go where right answers are likelier by more than a standard error, else halfway."""
        gap = _shrunk(_Gap.of(losses), votes, senders)
        if abs(gap.mean) <= gap.variance**0.5:
            return "half"
        return "fedsa" if gap.mean > 0 else "fedit"


def _shrunk(own: _Gap, votes: np.ndarray, senders: int) -> _Gap:
    """Return a client's gap as all clients' votes let it appear; its own where nobody voted."""
    if not votes.size or votes[0] <= 0:
        return own
    of_all, square, noise = votes[1:] / votes[0]
    between = max(square - of_all**2 - noise, 0.0)  # how far clients really differ
    total = between + own.variance
    trust = between / total if total > 0 else 0.0
    return _Gap(
        trust * own.mean + (1 - trust) * of_all,
        trust * own.variance + (1 - trust) ** 2 * (between + noise) / max(1, senders),
    )
