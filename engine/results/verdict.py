"""The verdict on an experiment: alone against shared against personalised.

For every client and for the federation: who is better, by how much, and how surely. On one draw
the interval is over the test items, paired; where the same experiment is stored with other seeds,
it is over the draws. Then what it cost in bytes, and what left the site.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Literal

from db import reads
from db.tables import Run
from engine.config import ConfigError, ExperimentConfig
from engine.jobs import lookup
from engine.jobs.queue import NotPossible
from engine.metrics.intervals import DIFFERENCE, Interval, mean_of, paired_shares
from engine.strategies import STRATEGIES

ALONE, SHARED = "local", "fedit"
Words = Literal["gains", "loses", "not sure"]


@dataclass(frozen=True)
class Comparison:
    """A difference in accuracy, as a fraction, with its paired 95 % interval, and in words."""

    mean: float
    low: float
    high: float
    verdict: Words

    @classmethod
    def of(cls, interval: Interval) -> Comparison:
        """Put an interval into words: sure is what lies on one side of 0."""
        low = interval.mean if interval.low is None else interval.low
        high = interval.mean if interval.high is None else interval.high
        words: Words = "gains" if low > 0 else "loses" if high < 0 else "not sure"
        return cls(interval.mean, low, high, words)


@dataclass(frozen=True)
class ClientVerdict:
    """One client: accuracies on its own test items by strategy; ``over[ours][theirs]`` compares."""

    client: int
    name: str
    items: int
    accuracy: dict[str, float]
    over: dict[str, dict[str, Comparison]]


@dataclass(frozen=True)
class Cost:
    """What a run has sent, all clients and rounds together, and what left the site."""

    bytes_up: int
    bytes_down: int
    left_the_site: str


@dataclass(frozen=True)
class Verdict:
    """Accuracies are means over clients, by strategy; ``over[ours][theirs]`` compares two.

    ``draws`` counts the seeds behind ``federation``; clients are those of this experiment alone.
    """

    experiment: int
    name: str
    strategies: list[str]
    draws: int
    accuracy: dict[str, float]
    over: dict[str, dict[str, Comparison]]
    clients: list[ClientVerdict]
    costs: dict[str, Cost]


_Hits = dict[int, dict[str, bool]]  # client -> item -> right, of the model that a client uses


def verdict(experiment_id: int) -> Verdict:
    """Compare the finished runs of an experiment. Raises NotPossible."""
    stored = lookup.runs_of(experiment_id)
    runs = {run.strategy: run for run in stored if run.status == "done"}
    trained = [key for key in runs if STRATEGIES[key].variants]
    if len(trained) < 2:
        raise NotPossible(
            f"experiment {experiment_id} has {len(trained)} finished run(s) that train; a verdict "
            f"compares two or more, best {ALONE}, {SHARED} and plora"
        )
    hits = {key: reads.hits(runs[key].id) for key in trained}
    clients = sorted(set.intersection(*(set(by_client) for by_client in hits.values())))
    if not clients:
        raise NotPossible(f"no client of experiment {experiment_id} was tested in all its runs")
    profiles = {row.client: row.name for row in reads.clients(experiment_id)}
    pairs = list(compared_pairs(trained))
    judged = [_client(k, profiles.get(k, ""), hits, pairs) for k in clients]
    draws = _draws(runs[trained[0]].experiment.config, trained)
    own = {key: mean(found.accuracy[key] for found in judged) for key in trained}
    return Verdict(
        experiment_id,
        runs[trained[0]].experiment.name,
        trained,
        max(len(draws), 1),
        {k: mean(d[k] for d in draws.values()) for k in trained} if len(draws) > 1 else own,
        _nested({pair: _federation(pair, hits, clients, draws) for pair in pairs}),
        judged,
        {key: _cost(runs[key]) for key in trained},
    )


def compared_pairs(strategies: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield what is compared: all else against alone, and the personalised against shared."""
    for ours in strategies:
        if ours != ALONE and ALONE in strategies:
            yield ours, ALONE
        if ours not in (ALONE, SHARED) and SHARED in strategies:
            yield ours, SHARED
    if not {ALONE, SHARED} & set(strategies):
        yield from ((ours, strategies[0]) for ours in strategies[1:])


def _client(
    k: int, name: str, hits: dict[str, _Hits], pairs: Sequence[tuple[str, str]]
) -> ClientVerdict:
    return ClientVerdict(
        k,
        name,
        min(len(by_client[k]) for by_client in hits.values()),
        {key: mean(by_client[k].values()) for key, by_client in hits.items()},
        _nested({pair: Comparison.of(_items(pair, hits, k)) for pair in pairs}),
    )


def _items(pair: tuple[str, str], hits: dict[str, _Hits], k: int) -> Interval:
    """Return the paired interval over a client's test items."""
    ours, theirs = (hits[key][k] for key in pair)
    return paired_shares([(ours[item], theirs[item]) for item in ours if item in theirs])


def _federation(
    pair: tuple[str, str],
    hits: dict[str, _Hits],
    clients: Sequence[int],
    draws: dict[int, dict[str, float]],
) -> Comparison:
    """Compare two over the draws where there are several, else over all test items."""
    ours, theirs = pair
    if len(draws) > 1:
        gains = [own[ours] - own[theirs] for own in draws.values()]
        return Comparison.of(Interval.of(gains, DIFFERENCE))
    return Comparison.of(mean_of([_items(pair, hits, k) for k in clients]))


def _draws(stored: dict, strategies: Sequence[str]) -> dict[int, dict[str, float]]:
    """Return own accuracies by seed and strategy, of the seeds for which all runs are stored."""
    try:
        config = ExperimentConfig.parse(stored)
    except ConfigError:  # one of another version has no draws to compare
        return {}
    wanted = {_but_seed(config, key): key for key in strategies}
    found: dict[int, dict[str, float]] = {}
    for run, other in lookup.finished():
        if key := wanted.get(_but_seed(other, run.strategy)):
            own = reads.deployed_accuracies(run.id, "own")
            found.setdefault(other.seed, {})[key] = mean(own.values())
    return {seed: own for seed, own in found.items() if len(own) == len(strategies)}


def _but_seed(config: ExperimentConfig, strategy: str) -> ExperimentConfig:
    return config.for_one(strategy).model_copy(update={"seed": 0})


def _nested(
    compared: dict[tuple[str, str], Comparison],
) -> dict[str, dict[str, Comparison]]:
    nested: dict[str, dict[str, Comparison]] = {}
    for (ours, theirs), comparison in compared.items():
        nested.setdefault(ours, {})[theirs] = comparison
    return nested


def _cost(run: Run) -> Cost:
    summary, strategy = reads.summary(run.id), STRATEGIES[run.strategy]
    if run.strategy == "centralized":
        left = "its pictures, questions and answers"
    else:
        factors = sorted(factor.removeprefix("lora_") for factor in strategy.shared_factors)
        left = " and ".join(factors) or "nothing"
    return Cost(summary.bytes_up, summary.bytes_down, left)
