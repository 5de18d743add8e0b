"""Small real runs for tests: through the worker's code, in this process."""

from __future__ import annotations

from flwr.app import Message

from db import reads
from engine.config import ExperimentConfig
from engine.fl.runtimes import local
from engine.jobs import queue
from engine.jobs.worker import execute, registered


def run(config: ExperimentConfig, *, together: bool = True) -> list[reads.Summary]:
    """Run all strategies of an experiment; returns the figures of each run."""
    with registered(takes_queue=False) as worker:
        _, runs = queue.create(config, worker_id=worker.id)
        if together:
            execute(runs, worker)
        else:
            for run_id in runs:
                execute([run_id], worker)
    return [reads.summary(run_id) for run_id in runs]


def changed(config: ExperimentConfig, **values: object) -> ExperimentConfig:
    """A config with other values, checked anew."""
    return ExperimentConfig.parse({**config.model_dump(), **values})


class RecordingGrid(local.MeetingGrid):
    """Keeps every message that crosses it."""

    wire: list[Message] = []
    by_run: dict[int, list[Message]] = {}

    def send_and_receive(self, messages, *, timeout=None):
        messages = list(messages)
        replies = list(super().send_and_receive(messages, timeout=timeout))
        RecordingGrid.wire += [*messages, *replies]
        RecordingGrid.by_run.setdefault(self._number, []).extend([*messages, *replies])
        return replies


def record_wire(monkeypatch) -> list[Message]:
    """The list that every message of later runs is added to."""
    RecordingGrid.wire, RecordingGrid.by_run = [], {}
    monkeypatch.setattr(local, "MeetingGrid", RecordingGrid)
    return RecordingGrid.wire
