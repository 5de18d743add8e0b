"""The data set that a config names: the embedded world, or what people bring."""

from __future__ import annotations

from functools import lru_cache

from engine.config import WORLD, ExperimentConfig
from engine.data.dataset import FederatedDataset
from engine.data.synthetic.world import SyntheticDataset


def new_dataset(config: ExperimentConfig) -> FederatedDataset:
    """Return the clients of a config. Raises ConfigError where its data cannot be used.

    A door: the libraries for people's own data cost more than a second that no other run pays.
    """
    if config.dataset == WORLD:
        return SyntheticDataset(config)
    from engine.data.user.collection import collect
    from engine.data.user.dataset import UserDataset

    return UserDataset(collect(config.dataset, config.data), config)


@lru_cache(maxsize=2)
def dataset_of(config: ExperimentConfig) -> FederatedDataset:
    """Return the process's data set for a config; what is prefetched is found through it."""
    return new_dataset(config)
