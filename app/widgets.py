"""Pieces that several pages use."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from app.look import STATUS_WORDS, client_name
from db import reads
from db.tables import Run
from engine.config import ExperimentConfig
from engine.jobs import queue

LIVE = "../pages/live.py"
ASK = "../pages/ask.py"
SETUP = "../pages/setup.py"


def run_name(run: Run) -> str:
    """Name a run as pages call it."""
    example = ", example" if run.experiment.bundled else ""
    return f"Run {run.id} · {run.strategy} · {run.experiment.name}{example}"


def choose_run(label: str = "Run", *, trained_only: bool = False) -> Run | None:
    """Ask for a run, kept in the URL as ``?run=``; None, with a hint, where there is none."""
    queue.tend()
    runs = [run for run in reads.runs() if not trained_only or run.rounds_done or not run.rounds]
    if not runs:
        st.info("There is no run yet. Set one up, or press Run on the Start page.")
        st.page_link(SETUP, label="Set up an experiment")
        return None
    numbers = [run.id for run in runs]
    linked = _number_in_url("run")
    if linked is not None and linked not in numbers:
        st.warning(f"There is no run {linked} to show here; this is another one.")
    names = {run.id: run_name(run) for run in runs}
    latest = [run.id for run in runs if run.experiment_id == runs[0].experiment_id]
    usual = next(
        (run.id for run in runs if run.strategy == "plora" and run.id in latest), latest[0]
    )
    chosen = st.selectbox(
        label,
        numbers,
        index=numbers.index(linked if linked in numbers else usual),
        format_func=names.__getitem__,
        key="choose_run",
    )
    st.query_params["run"] = str(chosen)
    return runs[numbers.index(chosen)]


def client_names(run: Run) -> dict[int, str]:
    """Return the names that the data give to clients, by number; none before a run has started."""
    return {client.client: client.name for client in reads.clients(run.experiment_id)}


def choose_client(clients: int, names: Mapping[int, str]) -> int:
    """Ask for a client of a run, kept in the URL as ``?client=``."""
    linked = _number_in_url("client")
    chosen = st.selectbox(
        "Client",
        range(clients),
        index=linked if linked is not None and linked < clients else 0,
        format_func=lambda k: client_name(k, names.get(k, "")),
        key="choose_client",
    )
    st.query_params["client"] = str(chosen)
    return chosen


def choose_item(label: str, names: list[str]) -> int:
    """Ask for a test item, kept in the URL as ``?item=``."""
    linked = _number_in_url("item")
    chosen = st.selectbox(
        label,
        range(len(names)),
        index=linked if linked is not None and linked < len(names) else 0,
        format_func=names.__getitem__,
        key="choose_item",
    )
    st.query_params["item"] = str(chosen)
    return chosen


def start_experiment(config: ExperimentConfig) -> None:
    """Submit an experiment and go to its first run on the Live page."""
    _, runs = queue.submit(config)
    st.switch_page(LIVE, query_params={"run": str(runs[0])})


def status_line(run: Run) -> None:
    """Say a run's state in one sentence, with the reason where it failed."""
    words = f"Run {run.id} ({run.strategy}) is **{STATUS_WORDS[run.status]}**"
    if run.status == "failed":
        st.error(f"{words}. Reason: {run.error}")
    elif run.status == "interrupted":
        st.warning(f"{words}. Its {run.rounds_done} finished rounds are kept.")
    else:
        st.markdown(f"{words}.")


def _number_in_url(key: str) -> int | None:
    text = st.query_params.get(key, "")
    return int(text) if text.isdecimal() else None
