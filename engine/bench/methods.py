"""``bench methods``: strategies compared under each kind of difference between clients.

Every strategy takes the same number of training steps, at a learning rate that was chosen for it on
validation sets. Runs that are stored with the same config are not run again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, pstdev
from typing import Any

from db import reads
from engine.bench.crossing import difference
from engine.bench.grid import run_grid
from engine.config import ExperimentConfig
from engine.metrics.intervals import Interval
from engine.strategies import STRATEGIES

KINDS = ("concept", "domain", "label", "task", "mixed")
LEVELS = (0.0, 0.5, 1.0)
COMPARED = ("fedit", "plora", "fedsa", "ffa", "local", "feddpa")
AVERAGING = tuple(
    key
    for key, strategy in STRATEGIES.items()
    if strategy.shared_factors and not strategy.server_trains
)
SEEDS = 5
LEARNING_RATES = (1e-3, 3e-3, 1e-2)
_CHOSEN_AT = 0.5  # level, with seed 0, on validation sets
HEADLINE: dict[str, Any] = {"clients": 8, "heterogeneity": {"kind": "mixed", "level": 0.8}}
PAPER = 0.245  # what the paper claims, on other data (arXiv 2507.17088)


def steps_of(base: ExperimentConfig, strategy: str) -> int:
    """Return a round's steps of each phase: who trains two adapters takes half for each."""
    return max(1, base.local_steps // max(1, len(base.rule(strategy).phases())))


@dataclass(frozen=True)
class Plan:
    """Strategies × kinds × levels × seeds, on a config that is otherwise ``base``.

    ``tied`` are to be as good as each other where all clients are alike, every adapter with all the
    steps; those of them that are not compared elsewhere train at FedIT's learning rate.
    """

    strategies: Sequence[str] = COMPARED
    kinds: Sequence[str] = KINDS
    levels: Sequence[float] = LEVELS
    seeds: int = SEEDS
    base: ExperimentConfig = ExperimentConfig()
    tied: Sequence[str] = AVERAGING

    @classmethod
    def of(cls, lists: dict[str, list[str]], seeds: int, base: ExperimentConfig) -> Plan:
        """Make a plan with lists of its own, as words; raises ConfigError for an unknown word."""
        lists = {key: list(dict.fromkeys(words)) for key, words in lists.items()}
        base = ExperimentConfig.parse(
            base.model_dump() | {"strategies": lists.get("strategies", COMPARED)}
        )
        differences = [
            ExperimentConfig.parse({"heterogeneity": _differ(kind, level)}).heterogeneity
            for kind in lists.get("kinds", KINDS)
            for level in lists.get("levels", LEVELS)
        ]
        kinds = tuple(dict.fromkeys(difference.kind for difference in differences))
        levels = tuple(dict.fromkeys(difference.level for difference in differences))
        tied = () if "strategies" in lists or 0 not in levels else AVERAGING
        return cls(base.strategies, kinds, levels, seeds, base, tied)

    def config(self, strategy: str, rate: float, seed: int, **values: Any) -> ExperimentConfig:
        """Make one run's config."""
        given = {"strategies": [strategy], "learning_rate": rate, "seed": seed}
        given |= {"local_steps": steps_of(self.base, strategy), **values}
        named = ExperimentConfig.parse(self.base.model_dump() | given)
        what = f"{named.heterogeneity.kind} {named.heterogeneity.level:g}"
        return named.model_copy(update={"name": f"bench methods: {what}, seed {seed}"})


@dataclass(frozen=True)
class Outcome:
    """One strategy's figures at one kind and level, a value per seed each.

    own: accuracy on the own test set, mean over clients; pooled: on the pooled test set; worst: of
    the client that fares worst; spread: standard deviation over clients; clients: the own accuracy
    of every client.
    """

    strategy: str
    kind: str
    level: float
    runs: list[int]
    own: list[float]
    pooled: list[float]
    worst: list[float]
    spread: list[float]
    clients: list[list[float]]

    @classmethod
    def of(cls, strategy: str, kind: str, level: float, runs: Sequence[int]) -> Outcome:
        """Read the outcome of runs, one for each seed."""
        own = [list(reads.deployed_accuracies(run, "own").values()) for run in runs]
        pooled = [mean(reads.deployed_accuracies(run, "pooled").values()) for run in runs]
        return cls(
            strategy,
            kind,
            level,
            list(runs),
            [mean(values) for values in own],
            pooled,
            [min(values) for values in own],
            [pstdev(values) for values in own],
            own,
        )


@dataclass(frozen=True)
class Headline:
    """pLoRA's relative gain over FedIT in own accuracy, as a fraction of FedIT's."""

    mean: float
    low: float | None
    high: float | None
    seeds: int
    clients_improved: int
    clients: int
    seeds_whose_worst_client_improved: int


@dataclass(frozen=True)
class Results:
    """All that ``bench methods`` has measured."""

    plan: Plan
    rates: dict[str, dict[float, float]]  # strategy -> learning rate -> validation accuracy
    outcomes: list[Outcome]
    at_headline: list[Outcome]
    alike: list[Outcome]  # of the plan's ``tied``, at level 0

    def rate(self, strategy: str) -> float:
        """Return the learning rate that was best on the validation sets."""
        return _best(self.rates[strategy])

    def outcome(self, strategy: str, kind: str, level: float) -> Outcome:
        """Return one cell of the grid."""
        same = (strategy, kind, level)
        return next(o for o in self.outcomes if (o.strategy, o.kind, o.level) == same)

    def against_fedit(self, outcome: Outcome) -> Interval:
        """Compare own accuracy with FedIT's on the same clients and seeds."""
        fedit = self.outcome("fedit", outcome.kind, outcome.level)
        return difference(outcome.own, fedit.own)

    @property
    def headline(self) -> Headline | None:
        """Compare pLoRA with FedIT; None where the plan lacks one of them."""
        outcomes = {outcome.strategy: outcome for outcome in self.at_headline}
        if not {"plora", "fedit"} <= outcomes.keys():
            return None
        ours, theirs = outcomes["plora"], outcomes["fedit"]
        gains = [a / b - 1 for a, b in zip(ours.own, theirs.own, strict=True)]
        pairs = [
            pair
            for seed in zip(ours.clients, theirs.clients, strict=True)
            for pair in zip(*seed, strict=True)
        ]
        gain = Interval.of(gains)
        return Headline(
            gain.mean,
            gain.low,
            gain.high,
            len(gains),
            sum(a > b for a, b in pairs),
            len(pairs),
            sum(a > b for a, b in zip(ours.worst, theirs.worst, strict=True)),
        )


def measure(plan: Plan) -> Results:
    """Choose learning rates, then run the headline and the grid; raises RunsFailed."""
    rates = _rates(plan)

    def over_seeds(strategy: str, **values: Any) -> list[ExperimentConfig]:
        rate = _best(rates.get(strategy) or rates["fedit"])
        return [plan.config(strategy, rate, seed, **values) for seed in range(plan.seeds)]

    kind, level = HEADLINE["heterogeneity"].values()
    headline = {(s, kind, level): over_seeds(s, **HEADLINE) for s in plan.strategies}
    grid = {
        (s, kind, level): over_seeds(s, heterogeneity=_differ(kind, level))
        for kind in plan.kinds
        for level in plan.levels
        for s in plan.strategies
    }
    whole = {"heterogeneity": {"level": 0}, "local_steps": plan.base.local_steps}
    alike = {(s, kind, 0.0): over_seeds(s, **whole) for s in plan.tied}
    at_headline = _outcomes("headline", headline)
    return Results(plan, rates, _outcomes("grid", grid), at_headline, _outcomes("alike", alike))


def _outcomes(
    title: str, cells: dict[tuple[str, str, float], list[ExperimentConfig]]
) -> list[Outcome]:
    """Run what is missing; returns the outcomes by strategy, kind and level."""
    runs = run_grid(title, [config for configs in cells.values() for config in configs])
    return [Outcome.of(*cell, [runs[c] for c in configs]) for cell, configs in cells.items()]


def _rates(plan: Plan) -> dict[str, dict[float, float]]:
    """Measure own accuracy on validation sets, mean over kinds, by strategy and rate."""
    configs = {
        (strategy, rate, kind): plan.config(
            strategy, rate, 0, heterogeneity=_differ(kind, _CHOSEN_AT), tested_on="validation"
        )
        for kind in plan.kinds
        for strategy in plan.strategies
        for rate in LEARNING_RATES
    }
    runs = run_grid("learning rates", list(configs.values()))
    own = {key: reads.deployed_accuracies(runs[config], "own") for key, config in configs.items()}
    return {
        strategy: {
            rate: mean(mean(own[strategy, rate, kind].values()) for kind in plan.kinds)
            for rate in LEARNING_RATES
        }
        for strategy in plan.strategies
    }


def _best(rates: dict[float, float]) -> float:
    return max(rates, key=rates.__getitem__)


def _differ(kind: str, level: float | str) -> dict[str, Any]:
    return {"kind": kind, "level": level}
