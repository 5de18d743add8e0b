"""LoRA (Hu et al., arXiv 2106.09685) on the language model, through PEFT."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import nn
from torch.nn import functional as F

from engine.adapters.factors import DELTA, A, B, axis_of, cut, factor_of
from engine.config import ConfigError, Lora
from engine.system.seeding import torch_generator
from engine.vlm.families import LANGUAGE, VISION, Family, layers_of, target_layers

_SUFFIX = ".default.weight"


def attach_lora(
    model: nn.Module, lora: Lora, family: Family
) -> tuple[str, dict[str, nn.Parameter]]:
    """Add an adapter to the target layers, in place; ΔW = (alpha / rank) · B · A.

    Returns a regular expression for the layers, as PEFT takes it, and the factors by name,
    ``<layer>.lora_A`` (rank, d_in) and ``<layer>.lora_B`` (d_out, rank), in float32 and in a fixed
    order. Raises ConfigError when no layer of the model has such a name.
    """
    pattern = layer_pattern(model, lora, family)
    config = LoraConfig(r=lora.rank, lora_alpha=lora.alpha, target_modules=pattern)
    inject_adapter_in_model(config, model)
    found: dict[str, nn.Parameter] = {}
    for name, parameter in sorted(model.named_parameters()):
        if name.endswith(_SUFFIX):
            parameter.data = parameter.data.float()
            found[name.removesuffix(_SUFFIX)] = parameter
    return pattern, found


def lora_layers(model: nn.Module) -> dict[str, LoraLayer]:
    """The layers that carry an adapter, by name."""
    return {name: found for name, found in model.named_modules() if isinstance(found, LoraLayer)}


def layer_pattern(model: nn.Module, lora: Lora, family: Family) -> str:
    """A regular expression for the layers that carry an adapter. Raises ConfigError if none do."""
    parts = [LANGUAGE, VISION] if lora.vision else [LANGUAGE]
    patterns = []
    for part in parts:
        there = _linear_names(model, part)
        wanted = target_layers(lora, family) if part == LANGUAGE else ()
        names = [name for name in there if name in wanted] if wanted else there
        if not names:
            raise ConfigError(
                f"lora.targets: no linear layer of this model's {part[0].replace('_', ' ')} is "
                f"called {' or '.join(wanted) or 'so'}; there are: {', '.join(there) or 'none'}"
            )
        patterns.append(layers_of(part, names))
    return "|".join(patterns)


def _linear_names(model: nn.Module, part: Sequence[str]) -> list[str]:
    """How the linear layers of a part of the model are called, without repeats.

    Without those that have a number for a name: blocks have such names too.
    """
    inside = re.compile(layers_of(part, [r"[\w-]+"]))
    layers = (name for name, module in model.named_modules() if type(module) is nn.Linear)
    found = {name.rpartition(".")[2] for name in layers if inside.fullmatch(name)}
    return sorted(name for name in found if not name.isdecimal())


def initial_factors(shapes: dict[str, torch.Size], seed: int) -> dict[str, torch.Tensor]:
    """The common start of all clients: B = 0 and A₀ uniform in ±1/√d_in, drawn from the seed.

    Everyone can draw A₀ from the experiment's seed, so it need not be sent. With B fitted to
    different A₀ an average of B would mean nothing.
    """
    start: dict[str, torch.Tensor] = {}
    for name, shape in shapes.items():
        if factor_of(name) == B:
            start[name] = torch.zeros(shape)
        else:
            bound = 1 / math.sqrt(shape[1])
            generator = torch_generator(seed, "lora", name)
            start[name] = (torch.rand(shape, generator=generator) * 2 - 1) * bound
    return start


def side_by_side(
    one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], weight: float
) -> dict[str, torch.Tensor]:
    """One adapter that does what two of the same rank do together: the other weighs ``weight``.

    It has twice the rank, so that α / rank is halved: its B is doubled.
    """
    return {
        name: torch.cat([one[name], other[name]])
        if factor_of(name) == A
        else 2 * torch.cat([(1 - weight) * one[name], weight * other[name]], dim=1)
        for name in one
    }


def as_deltas(factors: dict[str, torch.Tensor], scale: float) -> dict[str, torch.Tensor]:
    """An adapter as what it adds to the frozen weights: s·B·A by ``<layer>.offset``."""
    layers = [name.removesuffix(f".{A}") for name in factors if factor_of(name) == A]
    return {f"{n}.{DELTA}": scale * factors[f"{n}.{B}"] @ factors[f"{n}.{A}"] for n in layers}


def with_rank(factors: Mapping[str, torch.Tensor], rank: int, full: int) -> dict[str, torch.Tensor]:
    """An adapter of the shape of rank ``full`` of which only the first ``rank`` directions act.

    The others are zero, and training leaves them so: with a zero row of A and a zero column of B
    neither has a gradient. ``factors`` may have any rank; offsets stay as they are.
    """
    found = dict(factors)
    for name, value in cut(factors, rank).items():
        if factor_of(name) == DELTA or factors[name].shape[axis_of(name)] == rank == full:
            continue
        missing = full - value.shape[axis_of(name)]
        padding = (0, 0, 0, missing) if axis_of(name) == 0 else (0, missing)
        found[name] = F.pad(value, padding)
    return found
