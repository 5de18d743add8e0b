"""How large an adapter is, without weights: of the bundled model without torch, too."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from safetensors import safe_open

from engine.adapters.factors import A, B
from engine.config import BUNDLED, ConfigError, ExperimentConfig, Lora
from engine.paths import BUNDLED_MODEL
from engine.strategies import STRATEGIES
from engine.vlm.checkpoint_files.checks import check_loadable
from engine.vlm.checkpoint_files.sources import WEIGHTS, place_of
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
        return (1 + rule.two_adapters) * (self.a * rule.is_trained(A) + self.b * rule.is_trained(B))


def adapter_size(config: ExperimentConfig) -> AdapterSize:
    """The size of a config's adapter: r·d_in for A and d_out·r for B, summed over layers.

    Raises ConfigError when the model is not one that the lab can use, or no layer is called so.
    """
    lora = config.lora
    if config.model == BUNDLED and not lora.vision:
        a, b = _bundled(lora.targets)
    else:
        a, b = _of_any(config)
    ranks = tuple(lora.rank_of(k) for k in range(config.clients))
    return AdapterSize(lora.rank * a, lora.rank * b, ranks, lora.rank)


@lru_cache(maxsize=16)
def _bundled(targets: tuple[str, ...]) -> tuple[int, int]:
    """Numbers in all A and in all B per rank, from the header of the bundled model's file."""
    names = target_layers(Lora(targets=targets), FAMILIES["florence2"])
    pattern = re.compile(layers_of(LANGUAGE, names) + r"\.weight")
    a = b = 0
    with safe_open(BUNDLED_MODEL / WEIGHTS, framework="numpy") as weights:
        for name in filter(pattern.fullmatch, weights.keys()):
            d_out, d_in = weights.get_slice(name).get_shape()
            a, b = a + d_in, b + d_out
    if not a:
        raise ConfigError(
            f"lora.targets: no linear layer of the bundled model is called {' or '.join(targets)}; "
            f"there are: {', '.join(FAMILIES['florence2'].linear)}"
        )
    return a, b


def _of_any(config: ExperimentConfig) -> tuple[int, int]:
    """The same of any model, from the model itself, made without weights."""
    if config.model != BUNDLED:
        check_loadable(config)
    from engine.vlm.checkpoint_files.skeleton import adapter_per_rank

    return adapter_per_rank(place_of(config.model), config.lora.targets, config.lora.vision)
