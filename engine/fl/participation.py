"""Who takes part in a round, and who is tested at the end: drawn from the experiment's seed."""

from __future__ import annotations

from engine.config import ExperimentConfig
from engine.strategies import Strategy
from engine.system.seeding import rng


def sampled(config: ExperimentConfig, round_: int) -> list[int]:
    """Return the clients that a round asks; at least one."""
    drawn = rng(config.drawn_from, "participation", round_)
    chosen = drawn.choice(config.clients, config.clients_per_round, replace=False)
    return sorted(chosen.tolist())


def participants(config: ExperimentConfig, round_: int) -> list[int]:
    """Return the sampled clients without those that drop out; at least one."""
    asked = sampled(config, round_)
    if not config.dropout:
        return asked
    luck = {k: rng(config.drawn_from, "dropout", round_, k).random() for k in asked}
    stay = [k for k in asked if luck[k] >= config.dropout]
    return stay or [max(asked, key=luck.__getitem__)]


def keepers(rule: Strategy, config: ExperimentConfig, round_: int) -> list[int]:
    """Return the clients that keep something to themselves in a round."""
    keeps = any(rule.trains(factor, round_) for factor in rule.personal_factors)
    return participants(config, round_) if keeps else []


def deciders(rule: Strategy, config: ExperimentConfig, round_: int, last: int) -> list[int]:
    """Return the clients that decide after a round, of which ``last`` was the last.

    Who is tested then or takes part in the next one, and has kept something by now.
    """
    if not rule.decides(round_, config.rounds):
        return []
    asked = tested(config) if round_ == last else participants(config, round_ + 1)
    have = {k for before in range(1, round_ + 1) for k in keepers(rule, config, before)}
    return sorted(have & {*participants(config, round_), *asked})


def fewest(config: ExperimentConfig) -> int:
    """Return how many clients take part in the round that has the fewest."""
    if not config.dropout:
        return config.clients_per_round
    return min(len(participants(config, round_)) for round_ in range(1, config.rounds + 1))


def tested(config: ExperimentConfig) -> list[int]:
    """Return the clients that are tested after the last round: all, or some of many."""
    drawn = rng(config.seed, "tested")
    return sorted(drawn.choice(config.clients, config.clients_tested, replace=False).tolist())
