"""Adding an imported adapter to a model's weights."""

from __future__ import annotations

import torch
from torch import nn

from engine.adapters.adapter import DELTA, name_of
from engine.config import ConfigError
from engine.vlm.imported_adapter import read_adapter
from engine.vlm.lora import as_deltas


def merge_adapter(model: nn.Module, place: str) -> None:
    """Add an adapter to a model's weights, in place. Raises ConfigError where it does not fit."""
    adapter = read_adapter(place)
    deltas = as_deltas(adapter.factors(), adapter.scale)
    modules = dict(model.named_modules())
    with torch.no_grad():
        for layer in deltas.layers(DELTA):
            delta = deltas[name_of(layer, DELTA)]
            if layer not in modules or modules[layer].weight.shape != delta.shape:
                raise ConfigError(f"start: the adapter does not fit the model's layer {layer}")
            weight = modules[layer].weight
            weight.add_(delta.to(weight.device, weight.dtype))
