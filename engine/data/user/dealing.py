"""Rows dealt to clients by flwr-datasets' partitioners.

The library and ``datasets`` are imported where they are used: the embedded world does without.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.data.synthetic.heterogeneity import LABEL_ALPHA, QUANTITY_ALPHA

if TYPE_CHECKING:
    from flwr_datasets.partitioner import Partitioner


def deal_evenly(rows: list[int], clients: int) -> list[list[int]]:
    """Deal equal shares, cut in order; of fewer rows than clients, one row each."""
    from flwr_datasets.partitioner import IidPartitioner

    if len(rows) < clients:  # which the partitioner refuses
        return [rows[k : k + 1] for k in range(clients)]
    return _deal(rows, [0] * len(rows), IidPartitioner(clients))


def deal_by_owner(rows: list[int], owners: Sequence[int], clients: int) -> list[list[int]]:
    """Give each row to its owner, a client's number."""
    from flwr_datasets.partitioner import NaturalIdPartitioner, natural_id_partitioner

    natural_id_partitioner.tqdm = lambda keys, **_: keys  # no progress bar for what takes no time
    shares = iter(_deal(rows, owners, NaturalIdPartitioner("key")))
    present = set(owners)  # all rows of a small client may be dealt already
    return [next(shares) if k in present else [] for k in range(clients)]


def deal_by_size(rows: list[int], clients: int, seed: int) -> list[list[int]]:
    """Deal shares of unequal size, Dirichlet(QUANTITY_ALPHA)."""
    from flwr_datasets.partitioner import DirichletPartitioner

    sizes = DirichletPartitioner(clients, "key", QUANTITY_ALPHA, 0, shuffle=False, seed=seed)
    return _deal(rows, [0] * len(rows), sizes)


def deal_by_group(
    rows: list[int], groups: Sequence[int], clients: int, seed: int
) -> list[list[int]]:
    """Deal every group's rows by Dirichlet(LABEL_ALPHA) over the clients.

    Balanced, as in the paper's code: who holds more than the mean gets no more.
    """
    from flwr_datasets.partitioner import DirichletPartitioner

    mix = DirichletPartitioner(clients, "key", LABEL_ALPHA, 0, True, shuffle=False, seed=seed)
    return _deal(rows, groups, mix)


def _deal(rows: list[int], keys: Sequence[int], partitioner: Partitioner) -> list[list[int]]:
    """Return the rows that a partitioner gives to each client; ``keys`` are what it goes by."""
    from datasets import Dataset

    partitioner.dataset = Dataset.from_dict({"row": rows, "key": list(keys)})
    return [partitioner.load_partition(k)["row"][:] for k in range(partitioner.num_partitions)]
