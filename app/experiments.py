"""An experiment as people speak of it: its state in a word, its ways, a link to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from app.look import STATUS_WORDS
from app.widgets import SETUP, choose, number_in_url
from db import reads
from db.sweeps import PointRun
from db.tables import Run
from engine.results.look import name_of

# The first of these that a run is in is the state of its experiment.
_ORDER = ("running", "paused", "queued", "failed", "interrupted", "stopped", "done")


def state_of(runs: Sequence[Run | PointRun]) -> str:
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


def choose_experiment() -> int | None:
    """Ask for an experiment, kept in the URL as ``?experiment=``; None, with a hint, for none.

    ``?run=`` leads to the experiment of that run.
    """
    names = {row.id: row for row in reads.experiment_names()}
    if not names:
        st.info("There is no experiment yet. Set one up, or press Run on the Start page.")
        st.page_link(SETUP, label="Set up an experiment")
        return None
    _follow_link_to_run()
    linked = number_in_url("experiment")
    if linked is not None and linked not in names:
        st.warning(f"There is no experiment {linked} to show here; this is another one.")
    return choose(
        "experiment",
        "Experiment",
        list(names),
        _usual(names),
        lambda k: _label(names[k]),
        label_visibility="collapsed",
    )


def _usual(names: Mapping[int, reads.ExperimentName]) -> int:
    """Return the newest experiment; of a sweep the one at work, as those after it only wait."""
    newest = max(names)
    at_work = reads.experiment_at_work() if names[newest].in_sweep else None
    return newest if at_work is None else at_work


def _follow_link_to_run() -> None:
    number = number_in_url("run")
    if number is None:
        return
    del st.query_params["run"]
    try:
        st.query_params["experiment"] = str(reads.run(number).experiment_id)
    except reads.NoSuchRun:
        st.warning(f"There is no run {number} to show here; this is another experiment.")


def _label(row: reads.ExperimentName) -> str:
    return f"{row.id} · {row.name}{', example' if row.bundled else ''}"
