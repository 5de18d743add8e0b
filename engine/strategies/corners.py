"""Choose the corner: each client keeps A, B, both or neither, by what serves its own rows best."""

from typing import NamedTuple

import numpy as np
from pydantic import Field

from engine.adapters.adapter import VOTES, VOTES_NAME, Adapter
from engine.strategies.base import BOTH, CORNERS, STRATEGIES, Arrays, Options, Strategy


class CornersOptions(Options):
    """Options of ``corners``."""

    held_out: float = Field(0.2, gt=0, le=0.5, title="Corners: share of rows to choose by")
    until: float = Field(0.4, gt=0, le=1, title="Corners: share of the rounds before the choice")


class _Gaps(NamedTuple):
    """By corner, how much less likely right answers are there than at the first one.

    ``mean`` over a client's held-out rows, and the variance of that mean. A probability, unlike a
    loss, is bounded: an average of adapters that disagree is unsure, loses little, and errs often.
    """

    mean: np.ndarray
    variance: np.ndarray

    @classmethod
    def of(cls, losses: np.ndarray) -> "_Gaps":
        """Return the gaps by losses per answer token (corners, rows)."""
        right = np.exp(-losses)
        gaps, rows = right[0] - right, losses.shape[1]
        variance = gaps.var(axis=1, ddof=1) / rows if rows > 1 else (gaps**2)[:, 0]
        return cls(gaps.mean(axis=1), variance)


@STRATEGIES.register("corners")
class Corners(Strategy):
    """Rule: a client goes on from, and answers with, one of (Ā,B̄), (A_k,B̄), (Ā,B_k), (A_k,B_k).

    FedIT, pLoRA, FedSA-LoRA and training alone are its four constant cases. For the first two
    fifths of the rounds every client keeps B, as in FedSA-LoRA: that is hardly ever worse than
    alone, and leaves every way open, for all send both factors. So long a client holds out a fifth
    of its rows; then it takes, for good, the corner at which right answers on them are likeliest,
    and trains on all of its rows. Chosen earlier, or from adapters that were averaged until then,
    it would be the corner of those who have not learnt yet what is theirs. A few rows say little,
    so clients vote: each sends, with its factors, how good each corner is for it and how sure
    that is, and what a client goes by is its own figure, shrunk to the mean of all as far as
    clients agree (empirical Bayes).

    Travels: A and B, and the votes. Stays: A_k and B_k too, and the corner. What the choice costs:
    with both factors on the way twice the bytes of pLoRA, and 52 more; none of the secrecy of a
    factor that stays at home, and thirteen numbers about a client's rows (none where what is sent
    is clipped); four passes without gradients over the held-out rows in each of the first rounds.
    That it depends on what differs between clients which factor is better kept is also the finding
    of IAT, arXiv 2606.08687; this rule nobody has published, as far as we found.
    """

    title = "Choose the corner (never worse)"
    idea = "All keep B at first; then each keeps A, B, both or neither, as all clients' votes say."
    options_model = CornersOptions
    shared_factors = BOTH | {VOTES}
    personal_factors = BOTH
    variants = ("global", "personal")
    corners = tuple(CORNERS)
    undecided = "fedsa"

    def held_out(self, round_: int, rounds: int) -> float:
        """Hold rows out for as long as they are needed."""
        return self.options.held_out if self.decides(round_, rounds) else 0.0

    def decides(self, round_: int, rounds: int) -> bool:
        """Weigh the corners in the first part of the rounds, at least once."""
        return round_ <= max(1, int(self.options.until * rounds))

    def extras(self) -> Arrays:
        """Return the votes of nobody."""
        return Adapter({VOTES_NAME: np.zeros(1 + 3 * len(self.corners), np.float32)})

    def vote(self, losses: np.ndarray) -> np.ndarray:
        """Return what the server averages: one voter, its gaps, their squares, their variances."""
        gaps = _Gaps.of(losses)
        return np.concatenate([[1.0], gaps.mean, gaps.mean**2, gaps.variance])

    def choose(self, losses: np.ndarray, votes: np.ndarray, last: bool) -> str:
        """Take the best corner in the last round with a choice; until then keep B."""
        mean = _shrunk(_Gaps.of(losses), votes)
        return self.corners[int(mean.argmin())] if last else self.undecided


def _shrunk(own: _Gaps, votes: np.ndarray) -> np.ndarray:
    """Return a client's gaps as all clients' votes let them appear; its own where nobody voted."""
    if not votes.size or votes[0] <= 0:
        return own.mean
    of_all, squares, noise = (votes[1:] / votes[0]).reshape(3, -1)
    between = np.maximum(squares - of_all**2 - noise, 0.0)  # how far clients really differ
    total = between + own.variance
    trust = np.divide(between, total, out=np.zeros_like(total), where=total > 0)
    return trust * own.mean + (1 - trust) * of_all
