"""An experiment as people speak of it: its state in a word, its ways, a link to it."""

from __future__ import annotations

from collections.abc import Sequence

from app.costs import name_of
from app.look import STATUS_WORDS
from db.tables import Run

# The first of these that a run is in is the state of its experiment.
_ORDER = ("running", "paused", "queued", "failed", "interrupted", "stopped", "done")


def state_of(runs: Sequence[Run]) -> str:
    """Return the state of an experiment as that of its run that matters most."""
    statuses = {run.status for run in runs}
    return next(status for status in _ORDER if status in statuses)


def state_in_words(runs: Sequence[Run]) -> str:
    """Say the state of an experiment, and how far it is."""
    state = state_of(runs)
    done, planned = sum(run.rounds_done for run in runs), sum(run.rounds for run in runs)
    far = f", {done / planned:.0%} of its rounds" if state != "done" and planned else ""
    return f"{STATUS_WORDS[state]}{far}"


def ways(runs: Sequence[Run]) -> str:
    """Name the strategies of an experiment's runs."""
    return ", ".join(name_of(run.strategy) for run in runs)
