"""Means over seeds with their 95 % intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import mean, stdev

from scipy.stats import t


@dataclass(frozen=True)
class Interval:
    """A mean with the ends of its 95 % interval, which are None where there is one value only."""

    mean: float
    low: float | None
    high: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> Interval:
        """Make Student's t interval of independent values, one for each seed."""
        centre = mean(values)
        if len(values) < 2:
            return cls(centre, None, None)
        half = float(t.ppf(0.975, len(values) - 1)) * stdev(values) / sqrt(len(values))
        return cls(centre, centre - half, centre + half)

    @property
    def sign(self) -> int:
        """1 or -1 where the whole interval is above or below 0, else 0."""
        if self.low is None or self.high is None:
            return 0
        return (self.low > 0) - (self.high < 0)

    def short(self) -> str:
        """Write it as percent, with half the interval's width: ``81.3 ±2.3``."""
        half = "" if self.high is None else f" ±{100 * (self.high - self.mean):.1f}"
        return f"{100 * self.mean:.1f}{half}"

    def points(self, *, sign: bool = False) -> str:
        """Write it as percent or percentage points: ``81.3 [79.0, 83.6]``."""
        form = "+.1f" if sign else ".1f"
        text = f"{100 * self.mean:{form}}"
        if self.low is None or self.high is None:
            return text
        return f"{text} [{100 * self.low:{form}}, {100 * self.high:{form}}]"
