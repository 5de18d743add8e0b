"""The models that can be asked in a run, and what they answer. No torch here."""

from __future__ import annotations

from dataclasses import dataclass

from db import reads
from db.tables import Run
from engine.strategies import STRATEGIES


@dataclass(frozen=True)
class VariantAnswer:
    """One variant's answer; ``source`` says in words which model it is."""

    variant: str
    source: str
    text: str
    confidence: float


@dataclass(frozen=True)
class ClientAnswer:
    """The answer of a client's own model."""

    client: int
    text: str
    confidence: float


def sources(run: Run) -> dict[str, tuple[Run, str]]:
    """Return the run whose model answers for each variant, and its name for people.

    ``local`` is the experiment's run of clients that share nothing, ``global`` its FedIT run, where
    there is one, else the run's own view.
    """
    own = STRATEGIES[run.strategy].variants
    answering = {"base": (run, "before any training")}
    trained = {r.strategy: r for r in reads.runs_of(run.experiment_id) if r.rounds_done}
    if run.strategy != "local" and (alone := trained.get("local")):
        answering["local"] = (alone, f"{STRATEGIES['local'].title}, run {alone.id}")
    if fedit := trained.get("fedit"):
        answering["global"] = (fedit, f"FedIT, run {fedit.id}")
    elif "global" in own:
        view = "the server's view, shared B with the common A₀"
        title = f"{STRATEGIES[run.strategy].title}, run {run.id}"
        answering["global"] = (run, view if run.strategy == "plora" else title)
    if "personal" in own:
        answering["personal"] = (run, f"{STRATEGIES[run.strategy].title}, run {run.id}")
    return answering


def variant_of(key: str) -> str:
    """Return the variant of its run that answers under a key of ``sources``."""
    return "personal" if key == "local" else key
