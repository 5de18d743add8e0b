"""Runs of any experiments side by side: what differs in their configs, and what they reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from db import reads
from db.tables import Run
from engine.config import ExperimentConfig, flat
from engine.jobs.queue import NotPossible
from engine.strategies import STRATEGIES

FEWEST, MOST = 2, 6
# Keys that say which sites there are and what they hold.
_ABOUT_SITES = ("dataset", "data.", "clients", "fault_share", "samples_per_client",
                "heterogeneity.", "seed")  # fmt: skip
# With all of these the same, data that are not the same have changed under their name.
_ABOUT_DATA = (*_ABOUT_SITES, "tested_on")
_CONTENT = "content of the data"


@dataclass(frozen=True)
class Comparison:
    """Runs side by side; every list is in the order of ``runs``.

    ``differences``: the dotted keys whose values are not the same in all; ``curves``: right answers
    on own test sets, mean over clients, by round; ``clients``: those after the last round, None
    where a run has no such client or has not tested it.
    """

    runs: list[reads.Summary]
    names: list[str]
    differences: dict[str, list[Any]]
    curves: list[dict[int, float]]
    clients: dict[int, list[float | None]]

    @property
    def same_sites(self) -> bool:
        """Tell whether client k is the same site with the same data in all of the runs."""
        return not any(key.startswith((*_ABOUT_SITES, _CONTENT)) for key in self.differences)


def compare(run_ids: Sequence[int]) -> Comparison:
    """Put 2 to 6 runs side by side. Raises NoSuchRun, NotPossible."""
    ids = list(dict.fromkeys(run_ids))
    if not FEWEST <= len(ids) <= MOST:
        raise NotPossible(f"compare takes {FEWEST} to {MOST} different runs (got {len(ids)})")
    runs = reads.chosen_runs(ids)
    scores = [reads.deployed_accuracies(run.id, "own") for run in runs]
    clients = sorted({client for by_client in scores for client in by_client})
    return Comparison(
        reads.summaries(runs),
        [run.experiment.name for run in runs],
        run_differences(runs),
        [_curve(run) for run in runs],
        {client: [by_client.get(client) for by_client in scores] for client in clients},
    )


def differences(configs: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return the dotted keys of nested configs whose values are not the same in all of them.

    A key that a config does not have is None there.
    """
    flattened = [flat(config) for config in configs]
    keys = dict.fromkeys(key for values in flattened for key in values)
    by_key = {key: [values.get(key) for values in flattened] for key in keys}
    return {key: values for key, values in by_key.items() if any(v != values[0] for v in values)}


def run_differences(runs: Sequence[Run]) -> dict[str, list[Any]]:
    """Return what differs in what decides the numbers of these runs. Raises ConfigError."""
    differing = differences([deciding(run) for run in runs])
    for part, what in (("data", _CONTENT), ("model", "files of the model")):
        about = _ABOUT_DATA if part == "data" else ("model",)
        digests = [_digest(run, part) for run in runs]
        known = all(digests) and len(set(digests)) > 1
        if known and not any(key.startswith(about) for key in differing):
            differing[what] = digests
    return differing


def deciding(run: Run) -> dict[str, Any]:
    """Return the config of a run without names and other strategies' keys, defaults filled in."""
    values = ExperimentConfig.parse(run.experiment.config).model_dump(mode="json")
    others = {key for key, rule in STRATEGIES.items() if rule.options_model} - {run.strategy}
    left_out = {"name", "strategies", *others}
    own = {key: value for key, value in values.items() if key not in left_out}
    return {"strategy": run.strategy, **own}


def _digest(run: Run, part: str) -> str:
    """Return what tells contents apart; of a lab that stored none, nothing."""
    stored = (run.experiment.resolved or {}).get(part, {})
    if part == "model":
        return str(stored.get("digest", ""))[:8]
    keys = ("rows", "pictures", "questions", "answers", "clients", "splits")
    return " ".join(str(stored.get(key, ""))[:6] for key in keys).strip()


def _curve(run: Run) -> dict[int, float]:
    variant = STRATEGIES[run.strategy].deployed_variant()
    rows = reads.mean_scores(run.id)
    return {r.round: r.accuracy for r in rows if (r.variant, r.scope) == (variant, "own")}
