"""Means with 95 % intervals that stay within what the value can be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import atanh, sqrt, tanh
from statistics import mean, stdev

from scipy.stats import t

SHARE = (0.0, 1.0)  # bounds of an accuracy
DIFFERENCE = (-1.0, 1.0)  # and of a difference between two
_Z = 1.959963984540054


@dataclass(frozen=True)
class Interval:
    """A mean with the ends of its 95 % interval, which are None where there is one value only."""

    mean: float
    low: float | None
    high: float | None

    @classmethod
    def of(
        cls,
        values: Sequence[float],
        bounds: tuple[float, float] | None = None,
        level: float = 0.95,
    ) -> Interval:
        """Return Student's t interval of independent values, one for each draw.

        With ``bounds`` it is made on the logit (by the delta method) and so stays within them.
        ``level``: how often it is to hold what is estimated.
        """
        centre = mean(values)
        if len(values) < 2:
            return cls(centre, None, None)
        half = float(t.ppf((1 + level) / 2, len(values) - 1)) * stdev(values) / sqrt(len(values))
        if bounds is None:
            return cls(centre, centre - half, centre + half)
        low, high = bounds
        middle, radius = (low + high) / 2, (high - low) / 2
        x = (centre - middle) / radius  # in [-1, 1], where atanh is half the logit
        if half == 0 or abs(x) >= 1:
            return cls(centre, centre, centre)
        reach = half / radius / (1 - x * x)
        ends = (middle + radius * tanh(atanh(x) + side * reach) for side in (-1, 1))
        return cls(centre, *ends)

    @property
    def sign(self) -> int:
        """1 or -1 where the whole interval is above or below 0, else 0."""
        if self.low is None or self.high is None:
            return 0
        return (self.low > 0) - (self.high < 0)

    def short(self) -> str:
        """Write it as percent, with half the interval's width: ``81.3 ±2.3``."""
        if self.low is None or self.high is None:
            return f"{100 * self.mean:.1f}"
        return f"{100 * self.mean:.1f} ±{50 * (self.high - self.low):.1f}"

    def points(self, *, sign: bool = False) -> str:
        """Write it as percent or percentage points: ``81.3 [79.0, 83.6]``."""
        form = "+.1f" if sign else ".1f"
        text = f"{100 * self.mean:{form}}"
        if self.low is None or self.high is None:
            return text
        return f"{text} [{100 * self.low:{form}}, {100 * self.high:{form}}]"


def paired_shares(pairs: Sequence[tuple[bool, bool]]) -> Interval:
    """Return the difference of two shares on the same items, ours minus theirs, in [-1, 1].

    Newcombe's tenth method (Statistics in Medicine 17, 1998): Wilson's intervals, squared and added
    with the correlation of the pairs, corrected for continuity. Raises ValueError without a pair.
    """
    n = len(pairs)
    if n == 0:
        raise ValueError("there is no item to compare on")
    both = sum(a and b for a, b in pairs)
    ours, theirs = sum(a for a, _ in pairs), sum(b for _, b in pairs)
    p, q = ours / n, theirs / n
    (p_low, p_high), (q_low, q_high) = _wilson(p, n), _wilson(q, n)
    spread = ours * (n - ours) * theirs * (n - theirs)
    agreement: float = n * both - ours * theirs
    if agreement > 0:
        agreement = max(agreement - n / 2, 0.0)
    phi = agreement / sqrt(spread) if spread else 0.0

    def reach(a: float, b: float) -> float:
        return sqrt(max(a * a - 2 * phi * a * b + b * b, 0.0))

    low = p - q - reach(p - p_low, q_high - q)
    high = p - q + reach(p_high - p, q - q_low)
    return Interval(p - q, max(low, -1.0), min(high, 1.0))


def _wilson(share: float, n: int) -> tuple[float, float]:
    centre = share + _Z * _Z / (2 * n)
    half = _Z * sqrt(share * (1 - share) / n + _Z * _Z / (4 * n * n))
    scale = 1 + _Z * _Z / n
    return (centre - half) / scale, (centre + half) / scale


def mean_of(intervals: Sequence[Interval]) -> Interval:
    """Return the interval of the mean of independent estimates, each with its own interval.

    Distances to the ends add up in squares (Zou and Donner, Statistics in Medicine 27, 2008).
    """
    n, centre = len(intervals), mean(i.mean for i in intervals)
    below = sqrt(sum((i.mean - (i.low if i.low is not None else i.mean)) ** 2 for i in intervals))
    above = sqrt(sum(((i.high if i.high is not None else i.mean) - i.mean) ** 2 for i in intervals))
    return Interval(centre, centre - below / n, centre + above / n)
