"""LoRA (Hu et al., arXiv 2106.09685) on the language model, through PEFT."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import nn
from torch.nn import functional as F

from engine.config import Lora
from engine.randomness import torch_generator
from engine.vlm.factors import OFFSET, A, B, axis_of, cut, factor_of, language_layers
from engine.vlm.families import FAMILIES, target_layers

_SUFFIX = ".default.weight"


def attach_lora(model: nn.Module, lora: Lora) -> dict[str, nn.Parameter]:
    """Add an adapter to the target layers of the language model, in place.

    ΔW = (alpha / rank) · B · A. Returns the factors by name, ``<layer>.lora_A`` (rank, d_in) and
    ``<layer>.lora_B`` (d_out, rank), in a fixed order.
    """
    layers = language_layers(target_layers(lora, FAMILIES["florence2"]))
    config = LoraConfig(r=lora.rank, lora_alpha=lora.alpha, target_modules=layers)
    inject_adapter_in_model(config, model)
    return {
        name.removesuffix(_SUFFIX): parameter
        for name, parameter in sorted(model.named_parameters())
        if name.endswith(_SUFFIX)
    }


def initial_factors(shapes: dict[str, torch.Size], seed: int) -> dict[str, torch.Tensor]:
    """The common start of all clients: B = 0 and A₀ uniform in ±1/√d_in, drawn from the seed.

    Everyone can draw A₀ from the experiment's seed, so it need not be sent. With B fitted to
    different A₀ an average of B would mean nothing (METHODS.md).
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
    one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """One adapter that does what two of the same rank do together.

    It has twice the rank, so that α / rank is halved: its B is doubled.
    """
    return {
        name: torch.cat([one[name], other[name]])
        if factor_of(name) == A
        else 2 * torch.cat([one[name], other[name]], dim=1)
        for name in one
    }


def as_offsets(factors: dict[str, torch.Tensor], scale: float) -> dict[str, torch.Tensor]:
    """An adapter as what it adds to the frozen weights: s·B·A by ``<layer>.offset``."""
    layers = [name.removesuffix(f".{A}") for name in factors if factor_of(name) == A]
    return {f"{n}.{OFFSET}": scale * factors[f"{n}.{B}"] @ factors[f"{n}.{A}"] for n in layers}


def with_rank(factors: Mapping[str, torch.Tensor], rank: int, full: int) -> dict[str, torch.Tensor]:
    """An adapter of the shape of rank ``full`` of which only the first ``rank`` directions act.

    The others are zero, and training leaves them so: with a zero row of A and a zero column of B
    neither has a gradient. ``factors`` may have any rank; offsets stay as they are.
    """
    found = dict(factors)
    for name, value in cut(factors, rank).items():
        if factor_of(name) == OFFSET or factors[name].shape[axis_of(name)] == rank == full:
            continue
        missing = full - value.shape[axis_of(name)]
        padding = (0, 0, 0, missing) if axis_of(name) == 0 else (0, missing)
        found[name] = F.pad(value, padding)
    return found
