"""The work on torch: train a run, make ready what a form shows. Behind engine/jobs/door.py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from db import writes
from db.tables import Run
from engine.adapters.adapter import Adapter
from engine.config import SITES, ExperimentConfig
from engine.fl.client import Client
from engine.fl.cohort import Cohort
from engine.fl.cohort_evaluation import evaluate_cohorts
from engine.fl.context import context_of, release
from engine.fl.resolved import Resolved
from engine.fl.run_config import RunConfig
from engine.fl.runtimes.execution import execute
from engine.fl.runtimes.meeting import Orders
from engine.jobs.first_round import first_clients, first_sets
from engine.jobs.stored import run_config
from engine.vlm.checkpoint_files.sources import place_of

__all__ = ["pieces", "prepared", "release", "train"]


def train(runs: Sequence[Run], orders: Orders) -> None:
    """Prepare what the apps of an experiment's runs need, then hand them to their runtime.

    Raises what goes wrong before a run has begun.
    """
    execute([prepared(run) for run in runs], orders)


def prepared(run: Run) -> RunConfig:
    """Make ready what a run's apps need, and return what both are given."""
    running = run_config(run)
    model = running.config.model
    if not Path(place_of(model)).is_dir():
        writes.add_event(run.id, f"Fetching {model} from the hub: this may take minutes.")
    strategy = running.strategy
    factors = context_of(running.config, running.resolved).vlm.factors
    trained = sum(p.numel() for name, p in factors.items() if strategy.is_trained(name))
    writes.set_trainable_parameters(run.id, (1 + strategy.two_adapters) * trained)
    running.folder.mkdir(parents=True, exist_ok=True)
    return running


def pieces(config: ExperimentConfig, resolved: Resolved) -> Iterator[object]:
    """Make model, data and base scores of the first round, one yield for each piece."""
    context = context_of(config, resolved)
    yield context
    if config.dataset == SITES:  # nothing of it is here
        return
    yield from context.sets.make_ready(first_sets(config))
    yield context.sets.pooled()
    run = RunConfig(0, config.strategies[0], config, Path(), resolved)
    clients = first_clients(config)
    cohort = Cohort([Client(run, k) for k in clients], [0] * len(clients), {0: Adapter()}, 0)
    yield evaluate_cohorts([cohort], [False])
