"""What must hold before anything starts: a user's mistake is found here, in one sentence."""

from __future__ import annotations

from pathlib import Path

from engine.config import BUNDLED, ExperimentConfig
from engine.data.factory import new_dataset
from engine.jobs.resolve import resolve
from engine.vlm.checkpoint_files.sources import source_of
from engine.vlm.imported_adapter import import_adapter
from engine.vlm.memory import check_fits
from engine.vlm.resolved import resolve_model


def validate(config: ExperimentConfig, given: set[str] | None = None) -> ExperimentConfig:
    """The config with what it leaves to the data filled in; see ``settled`` for ``given``.

    Raises ConfigError when data cannot be read or dealt out, the model cannot be used here, or the
    adapter to start from does not fit.
    """
    given = config.model_fields_set if given is None else given
    config = resolve(_placed(config), given)
    new_dataset(config)
    model = resolve_model(config)
    check_fits(config, model)
    if config.start:
        config = config.model_copy(update={"start": import_adapter(config, model)})
    return config


def _placed(config: ExperimentConfig) -> ExperimentConfig:
    """The config with whole paths: a worker runs it from another folder."""
    kind, _, name = config.dataset.partition(":")
    dataset = f"folder:{Path(name).expanduser().resolve()}" if kind == "folder" else config.dataset
    model = config.model if config.model == BUNDLED else source_of(config.model)
    return config.model_copy(update={"dataset": dataset, "model": model})
