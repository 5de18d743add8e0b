"""How much of the spread of a method's results is the partition's, and how much the training's.

Partition draws and training seeds crossed: every partition is trained on with every seed of A₀ and
of the order of batches. A study of LoRA federations finds half of the variance in the partition,
which can reverse the order of two methods (fedlora-partition-variance, DOI
10.5281/zenodo.22861074).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class VarianceShares:
    """Shares of the variance of a result, which sum to 1, and its standard deviation.

    ``interaction`` is what a partition does with some training seeds and not with others; with one
    run for each pair, what is left unexplained is in it.
    """

    partition: float
    training: float
    interaction: float
    deviation: float


def variance_shares(results: np.ndarray) -> VarianceShares:
    """Split the variance of results (partitions, training seeds), at least two of each.

    The components of a two-way random effects model, by mean squares; one that comes out below 0
    counts as 0. Without any spread all shares are 0.
    """
    partitions, seeds = results.shape
    centred = results - results.mean()
    rows, columns = centred.mean(axis=1), centred.mean(axis=0)
    rest = centred - rows[:, None] - columns[None, :]
    interaction = float((rest**2).sum() / ((partitions - 1) * (seeds - 1)))
    of_rows = seeds * float((rows**2).sum()) / (partitions - 1)
    of_columns = partitions * float((columns**2).sum()) / (seeds - 1)
    partition = max(0.0, (of_rows - interaction) / seeds)
    training = max(0.0, (of_columns - interaction) / partitions)
    total = partition + training + interaction
    if total < 1e-18:
        return VarianceShares(0.0, 0.0, 0.0, 0.0)
    return VarianceShares(
        partition / total, training / total, interaction / total, deviation=total**0.5
    )
