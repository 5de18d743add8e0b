"""Comparisons that rounding must not blur."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def in_double(*modules: nn.Module) -> Iterator[None]:
    """Inside, what differs is a fault, and not rounding."""
    torch.set_default_dtype(torch.float64)
    for module in modules:
        module.double()
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)
        for module in modules:
            module.to(torch.float32)  # not float(), which a test may have replaced
