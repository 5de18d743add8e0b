"""What must hold before anything starts: a user's mistake is found here, in one sentence."""

from __future__ import annotations

from engine.config import ExperimentConfig
from engine.federation.federation import new_federation
from engine.federation.settle import settled
from engine.vlm.start import keep_start


def ready(config: ExperimentConfig, given: set[str] | None = None) -> ExperimentConfig:
    """The config with what it leaves to the data filled in; see ``settled`` for ``given``.

    Raises ConfigError when data cannot be read or dealt out, or the adapter to start from does not
    fit.
    """
    config = settled(config, config.model_fields_set if given is None else given)
    new_federation(config)
    if config.start:
        config = config.model_copy(update={"start": keep_start(config.start, config.model)})
    return config
