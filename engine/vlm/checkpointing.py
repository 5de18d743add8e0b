"""Gradient checkpointing: a layer's inner results are computed again when they are needed.

transformers does this only for layers in training mode, in which dropout acts too. Models of the
lab are always in evaluation mode, so their layers are wrapped here instead.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer


def checkpoint_layers(model: nn.Module, on: bool = True) -> int:
    """Have every layer keep only its input for the backward pass, or all again.

    Returns how many layers there are that can.
    """
    layers = [m for m in model.modules() if isinstance(m, GradientCheckpointingLayer)]
    for layer in layers:
        layer.__dict__.pop("forward", None)  # the class's own shows again
        if on:
            layer.forward = partial(_checkpointed, layer.forward)
    return len(layers)


def _checkpointed(forward: Callable, *args: Any, **kwargs: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*args, **kwargs)
    # Nothing is drawn at random in evaluation mode, so there is no state to restore.
    return checkpoint(forward, *args, use_reentrant=False, preserve_rng_state=False, **kwargs)
