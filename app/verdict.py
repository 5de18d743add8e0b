"""The verdict on a finished experiment: for how many clients personalising paid."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean

from app.charts import deployed_variant
from db import reads
from db.tables import Run
from engine.strategies import STRATEGIES


def verdict(runs: Sequence[Run]) -> str:
    """Compare personalised models with one for all, client by client, in one sentence.

    "" unless a run of each kind is done. Of several of a kind pLoRA and FedIT count.
    """
    done = [run for run in runs if run.status == "done" and run.rounds]
    personal = _first(done, "personal", "plora")
    shared = _first(done, "global", "fedit")
    if personal is None or shared is None:
        return ""
    own, theirs = (reads.deployed_accuracies(run.id, "own") for run in (personal, shared))
    gains = [own[client] - theirs[client] for client in sorted(own.keys() & theirs.keys())]
    if not gains:
        return ""
    better = sum(gain > 0 for gain in gains)
    names = (STRATEGIES[run.strategy].title.partition(" (")[0] for run in (personal, shared))
    return (
        f"**Personalising gave {better} of {len(gains)} clients better answers**: "
        f"{' against '.join(names)}, {100 * mean(gains):+.0f} points on their own test sets, mean "
        "over clients."
    )


def _first(runs: Sequence[Run], variant: str, rather: str) -> Run | None:
    """Return the first run whose clients use this variant; ``rather``: the strategy preferred."""
    fitting = [r for r in runs if deployed_variant(r) == variant and r.strategy != "local"]
    return min(fitting, key=lambda run: run.strategy != rather, default=None)
