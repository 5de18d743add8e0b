"""A LoRA adapter as a value: for every layer A, B and what is added to the frozen weight.

The only place that parses and writes the names of factors. No torch at the top: pages and
strategies import this file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, Self, TypeVar

import numpy as np

ALL_LINEAR = "all-linear"  # of lora.targets: every linear layer of the language model
A, B = "lora_A", "lora_B"
# What some strategies add to a layer's frozen weight is delta_B·delta_A, without a scale.
DELTA_A, DELTA_B = "delta_A", "delta_B"
ALL_LINEAR = "all-linear"  # of lora.targets: every linear layer of the language model
# What clients tell one another beside factors, as a mean: see engine/strategies/corners.py.
VOTES = "votes"
VOTES_NAME = f"corners.{VOTES}"
DENSE_DELTA = "offset"  # the same as one matrix (d_out, d_in), in homes of earlier versions

Value = TypeVar("Value")  # np.ndarray or torch.Tensor


def name_of(layer: str, factor: str) -> str:
    """Return the name of a layer's factor, such as ``….q_proj.lora_A``."""
    return f"{layer}.{factor}"


def split_name(name: str) -> tuple[str, str]:
    """Return the layer and the factor that a name stands for."""
    layer, _, factor = name.rpartition(".")
    return layer, factor


def factor_of(name: str) -> str:
    """Return which factor a name stands for: A, B, DELTA_A or DELTA_B."""
    return split_name(name)[1]


class Adapter(dict[str, Value], Generic[Value]):
    """Factors by name, arrays or tensors: ``<layer>.lora_A`` (rank, d_in), B (d_out, rank).

    It need not hold both factors of a layer: what travels or stays on a client may be one of them.
    A layer's delta has a rank of its own.
    """

    def __or__(self, added: Mapping[str, Value]) -> Self:  # type: ignore[override]
        return type(self)({**self, **added})

    def __ror__(self, before: Mapping[str, Value]) -> Self:  # type: ignore[override]
        return type(self)({**before, **self})

    def where(self, wanted: Callable[[str], bool]) -> Self:
        """Return the factors whose name is wanted."""
        return type(self)({name: value for name, value in self.items() if wanted(name)})

    def only(self, *factors: str) -> Self:
        """Return all A, all B, or all of the deltas' factors."""
        return self.where(lambda name: factor_of(name) in factors)

    def of_layer(self, layer: str) -> Self:
        """Return the factors of one layer."""
        return self.where(lambda name: split_name(name)[0] == layer)

    def layers(self, factor: str = A) -> list[str]:
        """Return the names of the layers that have a factor."""
        return [layer for layer, present in map(split_name, self) if present == factor]

    def a(self, layer: str) -> Value:
        """Return a layer's A, (rank, d_in)."""
        return self[name_of(layer, A)]

    def b(self, layer: str) -> Value:
        """Return a layer's B, (d_out, rank)."""
        return self[name_of(layer, B)]

    def delta(self, layer: str) -> tuple[Value, Value] | None:
        """Return B and A of what is added to a layer's frozen weight, if something is."""
        if (name := name_of(layer, DELTA_A)) not in self:
            return None
        return self[name_of(layer, DELTA_B)], self[name]

    @property
    def has_deltas(self) -> bool:
        """Whether something is added to the frozen weights, beside the factors' product."""
        return any(factor_of(name) == DELTA_A for name in self)

    @property
    def rank(self) -> int:
        """Directions of the factors A and B."""
        name = next(name for name in self if factor_of(name) in (A, B))
        return _shape(self[name])[_rank_axis(name)]

    def cut(self, rank: int) -> Self:
        """Return the first ``rank`` directions; deltas as they are."""
        return type(self)({n: _first(n, value, rank) for n, value in self.items()})

    def padded(self, rank: int) -> Self:
        """Return an adapter with zero directions added up to ``rank``, which does the same."""
        return type(self)({n: _padded(n, value, rank) for n, value in self.items()})

    @classmethod
    def of_layers(
        cls,
        layers: Iterable[str],
        a: Iterable[Value],
        b: Iterable[Value],
        names: tuple[str, str] = (A, B),
    ) -> Self:
        """Return the factors of some layers, given their A and their B in the same order."""
        factors = zip(layers, zip(a, b, strict=True), strict=True)
        return cls(
            (name_of(layer, factor), value)
            for layer, pair in factors
            for factor, value in zip(names, pair, strict=True)
        )


def _shape(value: Any) -> tuple[int, ...]:
    return value.shape


def _rank_axis(name: str) -> int:
    return 0 if factor_of(name) == A else 1


def _first(name: str, value: Any, rank: int) -> Any:
    match factor_of(name):
        case "lora_A":
            return value[:rank]
        case "lora_B":
            return value[:, :rank]
    return value


def _padded(name: str, value: Any, rank: int) -> Any:
    if factor_of(name) not in (A, B):
        return value
    missing = rank - value.shape[_rank_axis(name)]
    if not missing:
        return value
    shape = list(value.shape)
    shape[_rank_axis(name)] = missing
    if isinstance(value, np.ndarray):
        return np.concatenate([value, np.zeros(shape, value.dtype)], _rank_axis(name))
    import torch

    return torch.cat([value, value.new_zeros(shape)], _rank_axis(name))
