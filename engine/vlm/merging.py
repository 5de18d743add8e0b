"""Adding an imported adapter to a model's weights."""

from __future__ import annotations

import torch
from torch import nn

from engine.config import ConfigError
from engine.vlm.imported_adapter import read_adapter


def merge_adapter(model: nn.Module, place: str) -> None:
    """Add an adapter to a model's weights, in place. Raises ConfigError where it does not fit."""
    imported = read_adapter(place)
    adapter = imported.factors()
    modules = dict(model.named_modules())
    with torch.no_grad():
        for layer in adapter.layers():
            delta = imported.scale * adapter.b(layer) @ adapter.a(layer)
            if layer not in modules or modules[layer].weight.shape != delta.shape:
                raise ConfigError(f"start: the adapter does not fit the model's layer {layer}")
            weight = modules[layer].weight
            weight.add_(delta.to(weight.device, weight.dtype))
