"""``bench methods --samples``: from how many samples on a client is as well off alone.

Own accuracy over training samples per client, for training alone, one model for all, and the two
ways to personalise, at the headline's difference between clients. A draw is a seed: other pictures,
words, partition and A₀; all four meet the same draws, so differences are paired. Worth is read off
at one size, which gets all draws; the others get a third of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import mean
from typing import Any

from engine.bench.grid import own_accuracy, run_grid
from engine.config import ExperimentConfig
from engine.metrics.intervals import DIFFERENCE, SHARE, Interval

BOTH = ("local", "fedit")
OURS = "corners"
CROSSING = (*BOTH, "plora", "fedsa", OURS)
SAMPLES = (16, 64, 256, 1024)
DRAWS = 10
WORTH_AT = 64  # samples per client, where federating is to pay
KIND, LEVEL = "mixed", 0.8
AT: dict[str, Any] = {
    "clients": 8,
    "rounds": 16,
    "heterogeneity": {"kind": KIND, "level": LEVEL},
}


@dataclass(frozen=True)
class Point:
    """The own accuracy, by draw, that one strategy reaches with so many samples per client."""

    strategy: str
    samples: int
    runs: list[int]
    own: list[float]

    @property
    def interval(self) -> Interval:
        """The mean over draws with its interval."""
        return Interval.of(self.own, SHARE)


@dataclass(frozen=True)
class Crossing:
    """All points of one base config; draws: of the size where worth is read off."""

    base: ExperimentConfig
    draws: int
    points: list[Point]

    @property
    def samples(self) -> list[int]:
        """The training samples per client that were tried."""
        return sorted({point.samples for point in self.points})

    def point(self, strategy: str, samples: int) -> Point:
        """Return one point; raises StopIteration where it was not measured."""
        same = (strategy, samples)
        return next(p for p in self.points if (p.strategy, p.samples) == same)

    def gain(self, ours: str, theirs: str, samples: int) -> Interval:
        """Return the paired difference in own accuracy over the draws."""
        return difference(self.point(ours, samples).own, self.point(theirs, samples).own)


def difference(ours: Sequence[float], theirs: Sequence[float], level: float = 0.95) -> Interval:
    """Return the mean difference of shares, draw by draw, with its interval within [-1, 1]."""
    return Interval.of([a - b for a, b in zip(ours, theirs, strict=True)], DIFFERENCE, level)


def gains(own: Mapping[str, Sequence[float]]) -> dict[str, dict[str, float | None]]:
    """Return what personalising gains over alone and over one for all, from accuracies by draw."""
    return {
        f"{ours}_over_{theirs}": asdict(difference(own[ours], own[theirs]))
        for ours in ("plora", "fedsa")
        for theirs in ("local", "fedit")
    }


def over_best(own: Mapping[str, Sequence[float]], others: Iterable[str]) -> dict[str, Any]:
    """Compare ours with that of ``others`` that is best in the mean over draws."""
    best = max(others, key=lambda key: mean(own[key]))
    return {**asdict(difference(own[OURS], own[best])), "over": best}


def measure_crossing(
    base: ExperimentConfig, samples: Sequence[int] = SAMPLES, draws: int = DRAWS
) -> Crossing:
    """Run what is not stored yet; raises RunsFailed."""
    wanted = {
        (strategy, n): [_config(base, strategy, n, seed) for seed in range(draws_at(n, draws))]
        for n in samples
        for strategy in CROSSING
    }
    runs = run_grid("samples", [config for configs in wanted.values() for config in configs])
    points = [_point(*cell, [runs[c] for c in configs]) for cell, configs in wanted.items()]
    return Crossing(base, draws, points)


def draws_at(samples: int, draws: int) -> int:
    """Return how many draws a size gets: all where worth is read off, a third for the curve."""
    return draws if samples == WORTH_AT else max(2, draws // 3)


def _config(base: ExperimentConfig, strategy: str, samples: int, seed: int) -> ExperimentConfig:
    values = AT | {"strategies": [strategy], "samples_per_client": samples, "seed": seed}
    named = {"name": f"bench methods: {samples} samples, seed {seed}"}
    return ExperimentConfig.parse(base.model_dump() | values | named)


def _point(strategy: str, samples: int, runs: list[int]) -> Point:
    return Point(strategy, samples, runs, [own_accuracy(run) for run in runs])
