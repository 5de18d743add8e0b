"""What a strategy's clients train and send, by the formula: no torch here."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from engine.adapters.adapter import A, B
from engine.config import ExperimentConfig
from engine.strategies import STRATEGIES
from engine.vlm.resolved import ResolvedModel

_BYTES = 4  # factors travel as float32


@dataclass(frozen=True)
class Traffic:
    """What one client trains (numbers) and sends per round (bytes)."""

    trainable: int
    bytes_up: int


def traffic_of(strategy: str, config: ExperimentConfig, model: ResolvedModel) -> Traffic:
    """Return what a strategy's client trains and sends, mean over clients and two rounds."""
    rule, lora = STRATEGIES[strategy], config.lora
    numel = {A: lora.rank * model.numel_a, B: lora.rank * model.numel_b}
    trained = sum(numbers for factor, numbers in numel.items() if rule.is_trained(factor))
    sent = sum(
        numbers
        for round_ in (1, 2)
        for factor, numbers in numel.items()
        if rule.sends(factor, round_)
    )
    ranks = [lora.rank_of(k) for k in range(config.clients)]
    share = Fraction(sum(ranks), len(ranks) * lora.rank) if rule.mixed_ranks else 1
    beside = sum(values.size for values in rule().extras().values())
    up = int(_BYTES * (sent * share / 2 + beside))
    return Traffic((1 + rule.two_adapters) * trained, up)
