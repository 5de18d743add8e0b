"""The data set that a config names: the embedded world, or what people bring."""

from __future__ import annotations

from functools import lru_cache
from types import ModuleType
from typing import TYPE_CHECKING

from engine.config import SITE, SITES, WORLD, ConfigError, ExperimentConfig
from engine.data.dataset import FederatedDataset
from engine.data.resolved import ResolvedData
from engine.data.sites import SitesDataset
from engine.data.synthetic.world import SyntheticDataset

if TYPE_CHECKING:
    from engine.data.user.collection import Collection


def new_dataset(config: ExperimentConfig) -> FederatedDataset:
    """Return the clients of a config. Raises ConfigError where its data cannot be used."""
    if config.dataset == WORLD:
        return SyntheticDataset(config)
    if config.dataset == SITES:
        return SitesDataset(config)
    rows = _user_data().fitting.fitting(collection_of(config), config)
    dataset, at_a_site = _user_data().dataset, config.dataset.startswith(f"{SITE}:")
    return (dataset.SiteDataset if at_a_site else dataset.UserDataset)(rows, config)


def collection_of(config: ExperimentConfig) -> Collection:
    """Return the rows of people's own data. Raises ConfigError where they cannot be read."""
    return _user_data().collection.collect(config.dataset, config.data)


@lru_cache(maxsize=2)
def dataset_of(config: ExperimentConfig, resolved: ResolvedData) -> FederatedDataset:
    """Return the process's data set for a config; what is prefetched is found through it.

    Raises ConfigError where the data are not those that were resolved.
    """
    dataset = new_dataset(config)
    check_unchanged(dataset, resolved)
    return dataset


def check_unchanged(dataset: FederatedDataset, resolved: ResolvedData) -> None:
    """Raise ConfigError where the data are not those that were resolved."""
    if changes := dataset.resolve().changes_since(resolved):
        raise ConfigError(
            f"dataset: the data of {dataset.config.dataset} have changed since this experiment was "
            f"submitted ({changes}); put them back, or clone the run to train on what is there now"
        )


def _user_data() -> ModuleType:
    """Load the libraries for people's own data. A door: no other run pays more than a second."""
    import engine.data.user.collection
    import engine.data.user.dataset
    import engine.data.user.fitting

    return engine.data.user
