"""LoRA (Hu et al., arXiv 2106.09685) on the language model, through PEFT."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import Linear as LoraLinear
from torch import nn

from engine.adapters.adapter import DELTA_A, DELTA_B, A, Adapter, B, factor_of, name_of
from engine.config import ConfigError, Lora
from engine.system.seeding import torch_generator
from engine.vlm.families import LANGUAGE, VISION, Family, layers_of, target_layers

Factors = Adapter[torch.Tensor]


def attach_lora(model: nn.Module, lora: Lora, family: Family) -> tuple[str, Adapter[nn.Parameter]]:
    """Add an adapter to the target layers, in place; ΔW = (alpha / rank) · B · A.

    Return a regular expression for the layers, as PEFT takes it, and the factors in float32 and in
    a fixed order. Raises ConfigError when no layer of the model has such a name.
    """
    pattern = layer_pattern(model, lora, family)
    alpha: Any = lora.alpha  # PEFT says int, and takes fractions
    config = LoraConfig(r=lora.rank, lora_alpha=alpha, target_modules=pattern)
    inject_adapter_in_model(config, model)
    factors: Adapter[nn.Parameter] = Adapter()
    for name, layer in sorted(lora_layers(model).items()):
        for factor, part in ((A, layer.lora_A), (B, layer.lora_B)):
            factors[name_of(name, factor)] = cast(nn.Parameter, part["default"].float().weight)
    return pattern, factors


def lora_layers(model: nn.Module) -> dict[str, LoraLinear]:
    """Return the layers that carry an adapter, by name."""
    return {name: layer for name, layer in model.named_modules() if isinstance(layer, LoraLinear)}


def base_of(layer: LoraLinear) -> nn.Linear:
    """Return the frozen layer that an adapter is attached to."""
    return cast(nn.Linear, layer.base_layer)


def layer_pattern(model: nn.Module, lora: Lora, family: Family) -> str:
    """Return a regular expression for the adapted layers. Raises ConfigError if there are none."""
    parts = [LANGUAGE, VISION] if lora.vision else [LANGUAGE]
    patterns = []
    for part in parts:
        present = _linear_names(model, part)
        targets = target_layers(lora, family) if part == LANGUAGE else ()
        names = [name for name in present if name in targets] if targets else present
        if not names:
            raise ConfigError(
                f"lora.targets: no linear layer of this model's {part[0].replace('_', ' ')} is "
                f"called {' or '.join(targets) or 'so'}; there are: {', '.join(present) or 'none'}"
            )
        patterns.append(layers_of(part, names))
    return "|".join(patterns)


def _linear_names(model: nn.Module, part: Sequence[str]) -> list[str]:
    """Return the last names of the linear layers of a part of the model, without repeats.

    Without those that have a number for a name: blocks have such names too.
    """
    inside = re.compile(layers_of(part, [r"[\w-]+"]))
    layers = (name for name, module in model.named_modules() if type(module) is nn.Linear)
    last_names = {name.rpartition(".")[2] for name in layers if inside.fullmatch(name)}
    return sorted(name for name in last_names if not name.isdecimal())


def initial_factors(shapes: Mapping[str, torch.Size], seed: int) -> Factors:
    """Draw the common start of all clients: B = 0, and A₀ uniform in ±1/√d_in from the seed.

    Everyone can draw A₀ from the experiment's seed, so it need not be sent. With B fitted to
    different A₀ an average of B would mean nothing.
    """
    start: Factors = Adapter()
    for name, shape in shapes.items():
        if factor_of(name) == B:
            start[name] = torch.zeros(shape)
        else:
            bound = 1 / math.sqrt(shape[1])
            generator = torch_generator(seed, "lora", name)
            start[name] = (torch.rand(shape, generator=generator) * 2 - 1) * bound
    return start


def side_by_side(shared: Factors, personal: Factors, weight: float) -> Factors:
    """Return one adapter that does what two of the same rank do, the personal one at ``weight``.

    It has twice the rank, so that α / rank is halved: its B is doubled.
    """
    layers = shared.layers()
    return Adapter.of_layers(
        layers,
        [torch.cat([shared.a(layer), personal.a(layer)]) for layer in layers],
        [
            2 * torch.cat([(1 - weight) * shared.b(layer), weight * personal.b(layer)], dim=1)
            for layer in layers
        ],
    )


def as_deltas(factors: Factors, scale: float) -> Factors:
    """Return an adapter as what it adds to the frozen weights, s·B·A."""
    layers = factors.layers()
    a = [factors.a(layer) for layer in layers]
    b = [scale * factors.b(layer) for layer in layers]
    return Adapter.of_layers(layers, a, b, (DELTA_A, DELTA_B))
