"""What is added to frozen weights, applied beside them: W·x + (b·a)·x, and never W + b·a.

In half precision a sum of weights would lose what is small beside W; even a sum of two rounded
outputs would. So the product W·x starts from what is added, and only the whole is rounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F

from engine.adapters.adapter import DELTA_A, Adapter
from engine.vlm.lora import base_of, lora_layers


@contextmanager
def deltas_active(model: nn.Module, factors: Adapter[torch.Tensor]) -> Iterator[None]:
    """Inside, the factors' deltas act beside a model's frozen weights."""
    adapted = lora_layers(model) if factors.has_deltas else {}
    bases = {name: base_of(adapted[name]) for name in factors.layers(DELTA_A)}
    for name, base in bases.items():
        if delta := factors.delta(name):
            b, a = (factor.to(base.weight.device) for factor in delta)
            base.__dict__["forward"] = partial(_forward, base, b, a)
    try:
        yield
    finally:
        for base in bases.values():
            del base.__dict__["forward"]  # the class's own shows again


def plus(base: nn.Linear, x: torch.Tensor, added: torch.Tensor) -> torch.Tensor:
    """Return base(x) + added, with ``added`` (…, d_out) in float32, rounded as one sum."""
    if not is_half(base.weight):
        return F.linear(x, base.weight, base.bias) + added
    rows = added.reshape(-1, added.shape[-1]).to(x.dtype)
    y = torch.addmm(rows, x.reshape(-1, x.shape[-1]), base.weight.T).view(added.shape)
    return y if base.bias is None else y + base.bias


def is_half(weight: torch.Tensor) -> bool:
    """Tell whether a weight has fewer digits than float32."""
    return weight.dtype.itemsize < 4


def _forward(base: nn.Linear, b: torch.Tensor, a: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return plus(base, x, F.linear(F.linear(x.to(a.dtype), a), b))
