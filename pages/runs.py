"""Runs: all runs of all experiments, to search, compare, clone, tag and delete."""

from __future__ import annotations

from itertools import count

import streamlit as st

from app.compare_view import show_comparison
from app.home_view import show_home
from app.run_actions import show_actions, show_trouble_and_undo
from app.runs_table import choose_in_table, choose_lines, lines_of
from app.widgets import RUNS
from db import overview, reads
from db.tables import ALIVE
from engine.config import ConfigError
from engine.jobs import queue
from engine.jobs.queue import NotPossible
from engine.results import housekeeping

TENDED = 5  # looks after which it is seen whether a worker is gone
LOOK = 2.0  # seconds between two looks whether there is more to show


def numbers_in_url(key: str) -> list[int]:
    """Return the run numbers that the address bar lists under ``key``."""
    parts = st.query_params.get(key, "").split(",")
    return list(dict.fromkeys(int(part) for part in parts if part.strip().isdecimal()))


@st.fragment
def show_list() -> None:
    """Show the runs, what can be done with those that are marked, and what was just done.

    A fragment: while people type in the search the rest of the page stands still.
    """
    runs = reads.runs()
    known = {run.id: run for run in runs}
    if not runs:
        st.info("There is no run yet. Set one up, or press Run on the Start page.")
    show_trouble_and_undo()
    shown = choose_lines(lines_of(runs))
    actions = st.container()
    marked = [number for number in numbers_in_url("chosen") if number in known]
    chosen = choose_in_table(shown, marked)
    if chosen:
        st.query_params["chosen"] = ",".join(map(str, chosen))
    else:
        st.query_params.pop("chosen", None)
    with actions:
        show_actions([known[number] for number in chosen])
    rest = "" if len(shown) == len(runs) else f" of {len(runs):,}"
    st.caption(f"{len(shown):,}{rest} runs.")


@st.fragment(run_every=LOOK)
def follow(seen: object) -> None:
    """Draw the page anew when a run has gone on."""
    if next(beats) % TENDED == 0:
        queue.tend()
    if overview.stamp() != seen:
        st.rerun()


def show_compared(numbers: list[int]) -> None:
    """Show runs side by side, by a link such as ``?compare=3,7``."""
    marks = {"chosen": ",".join(map(str, numbers))}
    st.page_link(RUNS, label="← All runs", query_params=marks)
    try:
        show_comparison(numbers)
    except (NotPossible, reads.NoSuchRun, ConfigError) as mistake:
        st.warning(str(mistake))


beats = count(1)
if "compare" in st.query_params:
    st.title("Runs side by side")
    show_compared(numbers_in_url("compare"))
else:
    st.title("Runs")
    queue.tend()
    housekeeping.forget_old()
    seen = overview.stamp()
    show_list()
    if any(status in ALIVE for status, _, _ in seen):
        follow(seen)
    show_home()
