"""Validation and resolution of a config, once, before anything starts.

A user's mistake is found here, in one sentence; what the config leaves open is filled in from the
data, and what it names is looked up: the model's files and the data as they are now.
"""

from __future__ import annotations

from pathlib import Path

from db import writes
from db.tables import Experiment
from engine.config import BUNDLED, SITES, WORLD, ConfigError, ExperimentConfig
from engine.data.factory import collection_of
from engine.fl import participation
from engine.fl.privacy import budget_in_words, rounds_allowed, spent
from engine.fl.resolved import Resolved, resolve
from engine.strategies import STRATEGIES
from engine.vlm.checkpoint_files.sources import source_of
from engine.vlm.imported_adapter import import_adapter
from engine.vlm.memory import check_fits
from engine.vlm.text_limits import check_lengths

MOST_CLIENTS = 64  # that come by themselves; more only if somebody asks for them


def validate(
    config: ExperimentConfig, given: set[str] | None = None
) -> tuple[ExperimentConfig, Resolved]:
    """Return the config with what it leaves to the data filled in, and what it means.

    ``given`` are the keys that the user gave, by default those that were set: clients are as many
    as the data's own, for kind ``natural`` and up to MOST_CLIENTS, unless "clients" is among them.
    Raises ConfigError when data cannot be read or dealt out, rounds are too small or too costly,
    the model cannot be used here, or the adapter to start from does not fit.
    """
    given = config.model_fields_set if given is None else given
    config = complete(_with_whole_paths(config), given)
    check_feasible(config)
    resolved = resolve(config)
    check_lengths(config, resolved.model)
    check_fits(config, resolved.model)
    if config.start:
        config = config.model_copy(update={"start": import_adapter(config, resolved.model)})
    return config, resolved


def check_feasible(config: ExperimentConfig) -> None:
    """Raise ConfigError where parts of a config exclude each other.

    A round has too few clients, the privacy budget allows none, the clients' data are out of reach.
    """
    if config.dataset == SITES:
        _check_sites(config)
    needed, fewest = config.average.fewest, participation.fewest(config)
    if fewest < needed:
        bears = "" if config.robust == "median" else f" with faulty_clients={config.faulty_clients}"
        raise ConfigError(
            f"robust: {config.robust}{bears} needs {needed} clients in every round, and here one "
            f"has {fewest} (by clients, participation, dropout)"
        )
    if not rounds_allowed(config):
        raise ConfigError(
            f"privacy.max_epsilon: one round spends {spent(config, 1):.3g}; allowed: at least "
            f"that, or more privacy.noise (got {config.privacy.max_epsilon:g})"
        )


def _check_sites(config: ExperimentConfig) -> None:
    """Raise ConfigError where what is asked for needs data that only the clients have."""
    if config.runtime != "superlink":
        raise ConfigError(
            "dataset: sites, data that only the clients have, needs runtime=superlink, whose "
            f"SuperNodes say where theirs is (got runtime={config.runtime})"
        )
    if central := [key for key in config.strategies if STRATEGIES[key].server_trains]:
        raise ConfigError(
            f"strategies: {central[0]} trains on the server, and the clients' data stay with them "
            "(dataset=sites)"
        )


def complete(config: ExperimentConfig, given: set[str]) -> ExperimentConfig:
    """Fill in the metric and the number of clients from the data; see ``validate``."""
    metric, groups = "exact", 0
    if config.dataset not in (WORLD, SITES):
        collection = collection_of(config)
        metric, groups = collection.metric, len(collection.clients)
    update: dict[str, object] = {}
    if config.data.metric == "auto":
        update["data"] = config.data.model_copy(update={"metric": metric})
    if groups and "clients" not in given and config.heterogeneity.kind == "natural":
        update["clients"] = min(groups, MOST_CLIENTS)
    return config.model_copy(update=update)


def resolved_of(experiment: Experiment) -> Resolved:
    """Return what an experiment meant when it was submitted.

    One of a lab that did not store it means what it means when this is first asked. Raises
    ConfigError where its model or its data have gone since.
    """
    if experiment.resolved is not None:
        return Resolved.from_dict(experiment.resolved)
    resolved = resolve(ExperimentConfig.parse(experiment.config))
    writes.set_resolved(experiment.id, resolved.to_dict())
    return resolved


def notes_of(experiment: Experiment) -> list[str]:
    """Return what to know before the first round: the data's account, and the privacy budget."""
    limited = budget_in_words(ExperimentConfig.parse(experiment.config))
    return [*resolved_of(experiment).account, *filter(None, [limited])]


def check_unchanged(experiment: Experiment) -> None:
    """Raise ConfigError where an experiment's data or model are not what they were."""
    config = ExperimentConfig.parse(experiment.config)
    resolved_of(experiment).check(config)


def _with_whole_paths(config: ExperimentConfig) -> ExperimentConfig:
    """Return the config with whole paths: a worker runs it from another folder."""
    kind, _, name = config.dataset.partition(":")
    dataset = f"folder:{Path(name).expanduser().resolve()}" if kind == "folder" else config.dataset
    model = config.model if config.model == BUNDLED else source_of(config.model)
    return config.model_copy(update={"dataset": dataset, "model": model})
