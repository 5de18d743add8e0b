"""Logits of many adapters' rows, by the fastest way that a model has."""

from __future__ import annotations

from collections.abc import Callable

import torch

from engine.vlm.encoded import EncodedBatch
from engine.vlm.model import Vlm
from engine.vlm.multi_lora.bart import FusedBart, supports_fused
from engine.vlm.multi_lora.stacked import StackedAdapters, supports_stacking

LogitsFn = Callable[[EncodedBatch], torch.Tensor]


def logits_fn(vlm: Vlm, stacked: StackedAdapters) -> LogitsFn:
    """Return the fastest ``Vlm.answer_logits`` while adapters are ``active``."""
    if supports_stacking(vlm) and supports_fused(vlm, stacked):
        return FusedBart(vlm, stacked).answer_logits
    return vlm.answer_logits
