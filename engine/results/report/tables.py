"""The tables of a report: by client, by way, and where it all comes from."""

from __future__ import annotations

import platform
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version

from db import reads
from db.tables import Run
from engine.config import ExperimentConfig
from engine.fl.resolved import Resolved
from engine.paths import ROOT
from engine.results.look import client_name, duration, name_of, percent, size
from engine.results.verdict import Verdict
from engine.results.verdict_words import compared, in_words, way

_LIBRARIES = ("torch", "transformers", "peft", "flwr", "numpy")


@dataclass(frozen=True)
class Table:
    """Rows of text below a head; the columns in ``numbers`` are aligned to the right."""

    head: list[str]
    rows: list[list[str]]
    numbers: frozenset[int] = frozenset()


def by_client(runs: Sequence[Run], judged: Verdict | None) -> Table:
    """Return every client: what it holds, how often each way is right on its own test set."""
    accuracies = {run.strategy: reads.deployed_accuracies(run.id, "own") for run in runs}
    head = ["client", "train", "test", *map(way, accuracies)]
    numbers = frozenset(range(1, len(head)))
    verdicts = {}
    if judged:
        ours, theirs = compared(judged)
        head.append(f"{way(ours)} against {way(theirs)}")
        verdicts = {row.client: in_words(row.over[ours][theirs]) for row in judged.clients}
    rows = [
        [
            client_name(client.client, client.name),
            f"{client.train_samples:,}",
            f"{client.test_samples:,}",
            *(exact_percent(own.get(client.client)) for own in accuracies.values()),
            *([verdicts.get(client.client, "–")] if judged else []),
        ]
        for client in reads.clients(runs[0].experiment_id)
    ]
    return Table(head, rows, numbers)


def by_way(runs: Sequence[Run]) -> Table:
    """Return every run: how it ended, its accuracies after the last round, what it cost."""
    head = ["way", "status", "rounds", "right", "worst client", "everybody's tests"]
    head += ["sent", "received", "a client trains", "time"]
    rows = [
        [
            f"{name_of(run.strategy)} ({run.strategy})",
            run.status,
            f"{run.rounds_done} of {run.rounds}",
            exact_percent(summary.personal_accuracy),
            exact_percent(summary.worst_client_accuracy),
            exact_percent(summary.pooled_accuracy),
            size(summary.bytes_up),
            size(summary.bytes_down),
            f"{summary.trainable_parameters or 0:,} numbers",
            duration(summary.wall_seconds),
        ]
        for run, summary in zip(runs, reads.summaries(runs), strict=True)
    ]
    return Table(head, rows, frozenset(range(2, len(head))))


def origin(config: ExperimentConfig, resolved: Resolved | None) -> Table:
    """Return model, data, seed and versions."""
    rows = [["seed", str(config.seed)], ["model", config.model], ["data", config.dataset]]
    if resolved:
        rows[1][1] += f" ({resolved.model.dtype} on {resolved.model.device}; "
        rows[1][1] += f"files {resolved.model.digest[:12]})"
        rows[2][1] += f" (pictures {resolved.data.pictures[:12]}, "
        rows[2][1] += f"questions {resolved.data.questions[:12]})"
        rows += [["rows", line] for line in resolved.account]
    rows.append(["report made with", ", ".join([f"FedVLM Lab {_own_version()}", *_versions()])])
    return Table([], rows)


def exact_percent(value: float | None) -> str:
    """Write an accuracy to a tenth of a percent, as a table has room for."""
    return percent(None) if value is None else f"{value:.1%}"


def _own_version() -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return project["project"]["version"]


def _versions() -> list[str]:
    return [
        f"Python {platform.python_version()}",
        *(f"{name} {version(name)}" for name in _LIBRARIES),
    ]
