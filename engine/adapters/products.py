"""Products of an adapter's factors, layer by layer, in float64."""

from __future__ import annotations

import numpy as np

from engine.adapters.adapter import DELTA, Adapter, name_of

Arrays = Adapter[np.ndarray]


def products(adapter: Arrays) -> dict[str, np.ndarray]:
    """Return B·A by layer, (d_out, d_in), of an adapter that holds both factors."""
    return {
        layer: adapter.b(layer).astype(np.float64) @ adapter.a(layer).astype(np.float64)
        for layer in adapter.layers()
    }


def effective(adapter: Arrays, scale: float) -> dict[str, np.ndarray]:
    """Return what a model adds to its frozen weights, s·B·A and its offset, by layer."""
    return {
        layer: scale * product + adapter.get(name_of(layer, DELTA), np.float64(0))
        for layer, product in products(adapter).items()
    }
