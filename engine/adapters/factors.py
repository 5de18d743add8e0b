"""Functions over factors by name, until all callers hold an ``Adapter``."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from engine.adapters.adapter import DELTA, A, Adapter, B, factor_of, name_of

__all__ = ["ALL_LINEAR", "DELTA", "A", "B", "cut", "effective", "factor_of", "padded", "products"]
ALL_LINEAR = "all-linear"  # of lora.targets: every linear layer of the language model


def cut(factors: Mapping[str, Any], rank: int) -> Adapter[Any]:
    """Return the first ``rank`` directions of an adapter; offsets as they are."""
    return Adapter(factors).cut(rank)


def padded(arrays: Mapping[str, np.ndarray], rank: int) -> Adapter[np.ndarray]:
    """Return an adapter with zero directions added up to ``rank``; does the same as before."""
    return Adapter(arrays).padded(rank)


def products(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return B·A by layer, (d_out, d_in) in float64, of arrays that hold both factors."""
    adapter = Adapter(arrays)
    return {
        layer: adapter.b(layer).astype(np.float64) @ adapter.a(layer).astype(np.float64)
        for layer in adapter.layers()
    }


def effective(arrays: Mapping[str, np.ndarray], scale: float) -> dict[str, np.ndarray]:
    """Return what a model adds to its frozen weights, s·B·A and its offset, by layer."""
    return {
        layer: scale * product + arrays.get(name_of(layer, DELTA), 0)
        for layer, product in products(arrays).items()
    }
