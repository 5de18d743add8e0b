"""A method against the better of training alone and one model for all: never worse, or where.

That is a question of non-inferiority: the margin is said before, and in every cell the lower end of
the paired interval, over draws of the partition, must lie above it. A method must hold its own
against both, so that within a cell nothing is corrected; over cells, and over the looks that are
taken at a growing number of draws, the level is (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from engine.bench.crossing import BOTH, difference
from engine.metrics.intervals import Interval

MARGIN = 0.01  # a point of own accuracy
MOST_DRAWS = 200
Own = Mapping[str, Sequence[float]]  # by strategy the own accuracies, by draw


@dataclass(frozen=True)
class Cell:
    """A kind and level of difference between clients, and the training samples of each."""

    kind: str
    level: float
    samples: int


@dataclass(frozen=True)
class Comparison:
    """A method against both, in one cell.

    ``intervals`` are of the paired differences, corrected; they are shares, not percent.
    """

    draws: int
    intervals: Mapping[str, Interval]

    @property
    def against(self) -> str:
        """That of both which is better in the mean."""
        return min(self.intervals, key=lambda key: self.intervals[key].mean)

    @property
    def interval(self) -> Interval:
        """Return the difference to that one."""
        return self.intervals[self.against]

    @property
    def verdict(self) -> str:
        """``holds`` against both, ``worse`` where that is sure, or ``open``: draws may tell."""
        intervals = self.intervals.values()
        if all(i.low is not None and i.low > -MARGIN for i in intervals):
            return "holds"
        worse = any(i.high is not None and i.high < -MARGIN for i in intervals)
        return "worse" if worse else "open"


def compare(strategy: str, own: Own, level: float) -> Comparison:
    """Compare a method with both in one cell, on the draws that all three have."""
    draws = min(len(own[key]) for key in (strategy, *BOTH))
    ours = own[strategy][:draws]
    intervals = {key: difference(ours, own[key][:draws], level) for key in BOTH}
    return Comparison(draws, intervals)


def compare_all(strategy: str, cells: Mapping[Cell, Own], looks: int) -> dict[Cell, Comparison]:
    """Compare a method with both in all cells, at a level that is corrected for their number."""
    level = 1 - 0.05 / (len(cells) * looks)
    return {cell: compare(strategy, own, level) for cell, own in cells.items()}


def as_dict(compared: Mapping[Cell, Comparison]) -> dict[str, Any]:
    """Return what ``results.json`` says of a method: the cells in which it is not shown to hold."""
    failing = [
        {
            **asdict(cell),
            "against": own.against,
            **asdict(own.interval),
            "draws": own.draws,
            "verdict": own.verdict,
        }
        for cell, own in compared.items()
        if own.verdict != "holds"
    ]
    return {
        "margin": MARGIN,
        "cells": len(compared),
        "draws": min(own.draws for own in compared.values()),
        "failing": failing,
    }


def looks(first: int, most: int = MOST_DRAWS) -> list[int]:
    """Return at how many draws to look: twice as many each time, the last time at ``most``."""
    numbers = [min(first, most)]
    while numbers[-1] < most:
        numbers.append(min(2 * numbers[-1], most))
    return numbers
