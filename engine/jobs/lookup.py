"""Stored runs, looked up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from db import reads
from db.tables import Run
from engine.config import ConfigError, ExperimentConfig


def finished() -> Iterator[tuple[Run, ExperimentConfig]]:
    """Yield the finished runs with their configs."""
    configs: dict[int, ExperimentConfig] = {}
    for run in reads.done_runs():
        with suppress(ConfigError):  # of another version, or with a plugin that is not named here
            if run.experiment_id not in configs:
                configs[run.experiment_id] = ExperimentConfig.parse(run.experiment.config)
            yield run, configs[run.experiment_id]
