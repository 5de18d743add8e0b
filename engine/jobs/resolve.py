"""What a config leaves to the data, decided once, so that the stored config says what was run."""

from __future__ import annotations

from engine.config import WORLD, ExperimentConfig

MOST_CLIENTS = 64  # that come by themselves; more only if somebody asks for them


def resolve(config: ExperimentConfig, given: set[str]) -> ExperimentConfig:
    """The config with its metric and its number of clients filled in from the data.

    ``given`` are the keys that the user gave: clients are as many as the data's own, for kind
    ``natural`` and up to MOST_CLIENTS, unless "clients" is among them. Raises ConfigError where the
    data cannot be used.
    """
    metric, groups = "exact", 0
    if config.dataset != WORLD:
        from engine.data.user.collection import collect

        collection = collect(config.dataset, config.data)
        metric, groups = collection.metric, len(collection.clients)
    update: dict[str, object] = {}
    if config.data.metric == "auto":
        update["data"] = config.data.model_copy(update={"metric": metric})
    if groups and "clients" not in given and config.heterogeneity.kind == "natural":
        update["clients"] = min(groups, MOST_CLIENTS)
    return config.model_copy(update=update)
