"""How large an adapter is, from the model file's header alone: no torch, no weights read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from safetensors import safe_open

from engine.config import ExperimentConfig
from engine.paths import BUNDLED_MODEL
from engine.strategies import STRATEGIES
from engine.vlm.factors import A, B
from engine.vlm.families import FAMILIES, LANGUAGE, layers_of, target_layers

_BYTES = 4  # factors travel as float32


@dataclass(frozen=True)
class AdapterSize:
    """Numbers in all A and all B factors of one adapter of full rank, and the clients' ranks."""

    a: int
    b: int
    ranks: tuple[int, ...]
    rank: int

    def bytes_up(self, strategy: str) -> int:
        """What one client sends per round under a strategy, mean over clients and two rounds."""
        rule = STRATEGIES[strategy]
        sent = [
            rule.sends(name, round_) * numbers
            for round_ in (1, 2)
            for name, numbers in ((A, self.a), (B, self.b))
        ]
        share = Fraction(sum(self.ranks), len(self.ranks) * self.rank) if rule.mixed_ranks else 1
        return int(_BYTES * sum(sent) * share / 2)

    def trainable(self, strategy: str) -> int:
        """How many numbers one client trains under a strategy."""
        rule = STRATEGIES[strategy]
        return (1 + rule.dual) * (self.a * rule.learns(A) + self.b * rule.learns(B))


def adapter_size(config: ExperimentConfig) -> AdapterSize:
    """The size of a config's adapter: r·d_in for A and d_out·r for B, summed over layers."""
    pattern = re.compile(
        layers_of(LANGUAGE, target_layers(config.lora, FAMILIES["florence2"])) + r"\.weight"
    )
    a = b = 0
    with safe_open(BUNDLED_MODEL / "model.safetensors", framework="numpy") as weights:
        for name in filter(pattern.fullmatch, weights.keys()):
            d_out, d_in = weights.get_slice(name).get_shape()
            a, b = a + config.lora.rank * d_in, b + config.lora.rank * d_out
    ranks = tuple(config.lora.rank_of(k) for k in range(config.clients))
    return AdapterSize(a, b, ranks, config.lora.rank)
