"""A sweep as people speak of it: its state in a word, what it is over, which one is shown."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app.experiments import state_of
from app.look import STATUS_WORDS
from app.widgets import SETUP, choose
from db import sweeps
from db.sweeps import PointRun
from db.tables import ALIVE, Sweep
from engine.results.look import name_of
from engine.results.sweep_words import title_of

PAUSED = "paused after its experiment"


def state_of_sweep(runs: Sequence[PointRun], *, is_paused: bool) -> str:
    """Return the state of a sweep as that of its run that matters most."""
    if not runs:
        return "stopped"
    statuses = {run.status for run in runs}
    if is_paused and "running" not in statuses and statuses & set(ALIVE):
        return "paused"
    return state_of(runs)


def experiments_done(runs: Sequence[PointRun]) -> tuple[int, int]:
    """Return of how many points all runs are done, and how many points there are."""
    points = {run.point for run in runs}
    return len(points - {run.point for run in runs if run.status != "done"}), len(points)


def state_in_words(stored: Sweep) -> str:
    """Say the state of a sweep, and how far it is."""
    runs = sweeps.runs(stored.id)
    state = state_of_sweep(runs, is_paused=stored.paused)
    done, points = experiments_done(runs)
    far = f", {done} of {points} experiments" if state != "done" else f", {points} experiments"
    return f"{PAUSED if state == 'paused' else STATUS_WORDS[state]}{far}"


def over_what(stored: Sweep) -> str:
    """Say which ways a sweep is of, and over which keys, as its stored config has them."""
    ways = ", ".join(map(name_of, stored.config["strategies"]))
    keys = " and ".join(map(title_of, stored.config["sweep"]))
    return f"{ways} over {keys}" if keys else ways


def choose_sweep() -> int | None:
    """Ask for a sweep, kept in the URL as ``?sweep=``; None, with a hint, where there is none."""
    stored = {row.id: row for row in sweeps.sweeps()}
    linked = st.query_params.get("sweep", "")
    if not stored:
        st.info("There is no sweep yet. *Set up* makes one, under *All settings*.")
        st.page_link(SETUP, label="Set up a sweep")
        return None
    if linked and linked not in map(str, stored):
        st.warning(f"There is no sweep {linked} to show here; this is another one.")
    return choose(
        "sweep",
        "Sweep",
        list(stored),
        max(stored),
        lambda k: f"{k} · {stored[k].name}",
        label_visibility="collapsed",
    )
