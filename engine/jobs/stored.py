"""A stored run as Flower's apps know it."""

from __future__ import annotations

from db.tables import Run
from engine.config import ExperimentConfig
from engine.fl.run_config import RunConfig
from engine.jobs.validate import resolved_of
from engine.paths import run_folder


def run_config(run: Run) -> RunConfig:
    """Return what both apps of a stored run are given. Raises ConfigError, see ``resolved_of``."""
    config = ExperimentConfig.parse(run.experiment.config)
    resolved = resolved_of(run.experiment)
    return RunConfig(run.id, run.strategy, config, run_folder(run.id), resolved)
