"""What strategies add to the frozen weights, kept as narrow factors from round to round."""

from collections.abc import Mapping

import numpy as np

from engine.adapters.adapter import DELTA_A, DELTA_B, Adapter
from engine.adapters.low_rank import LowRank, bounded, weighted_sum
from engine.strategies.base import Arrays


def with_added(before: Arrays, updates: Mapping[str, LowRank], scale: float) -> Arrays:
    """Return the deltas in ``before`` with s·update added by layer, in float32.

    The rank grows with every update, up to the smaller side of the layer.
    """
    totals = []
    for layer, update in updates.items():
        terms = [(scale, update)]
        if delta := before.delta(layer):
            terms.insert(0, (1.0, LowRank(*delta)))
        totals.append(bounded(weighted_sum(terms)))
    return Adapter.of_layers(
        updates,
        [total.a.astype(np.float32) for total in totals],
        [total.b.astype(np.float32) for total in totals],
        (DELTA_A, DELTA_B),
    )
