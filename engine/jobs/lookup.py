"""Stored runs, looked up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from db import reads
from db.tables import Run
from engine.config import ConfigError, ExperimentConfig
from engine.jobs.queue import NotPossible


def runs_of(experiment_id: int) -> list[Run]:
    """Return the runs of an experiment, as they were queued. Raises NotPossible for none."""
    if runs := reads.runs_of(experiment_id):
        return runs
    raise NotPossible(f"there is no experiment {experiment_id}")


def finished() -> Iterator[tuple[Run, ExperimentConfig]]:
    """Yield the finished runs with their configs."""
    configs: dict[int, ExperimentConfig] = {}
    for run in reads.done_runs():
        with suppress(ConfigError):  # of another version, or with a plugin that is not named here
            if run.experiment_id not in configs:
                configs[run.experiment_id] = ExperimentConfig.parse(run.experiment.config)
            yield run, configs[run.experiment_id]
