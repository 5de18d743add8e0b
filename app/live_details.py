"""Live's folded sections: more curves, fairness, averaging, privacy, messages, log and machine.

A section that is closed costs nothing: it is drawn when somebody opens it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

import psutil
import streamlit as st

from app.history import History
from app.widgets import client_names, show_chart
from db import reads
from db.tables import Run
from engine.answering import client as answering
from engine.config import ConfigError, ExperimentConfig
from engine.paths import home
from engine.results import charts, client_charts
from engine.results.crossed import beside, crossed
from engine.results.look import duration, name_of, size
from engine.vlm.resolved import resolve_model

_LOG_LINES = 30


def show_details(histories: Sequence[History], shown: History, config: ExperimentConfig) -> None:
    """Show the sections that this experiment has something for, all folded."""
    rounds = shown.rounds
    name = name_of(shown.run.strategy)
    _fold("Everybody's test set, and the loss", lambda: _curves(histories), "curves")
    _fold(f"Who gains, who is left behind: {name}", lambda: _fairness(shown), "fairness")
    if any(row.cosine_a is not None or row.cosine_b is not None for row in rounds):
        _fold(f"What averaging does to the factors: {name}", lambda: _averaging(shown), "averaging")
    if rounds and rounds[-1].epsilon is not None:
        _fold("What is spent of the clients' privacy", lambda: _privacy(shown, config), "privacy")
    if reads.has_crossings(shown.run.id):
        title = f"What crossed between the server and the clients: {name}"
        _fold(title, lambda: _crossed(shown.run), "crossed")
    try:
        resolve_model(config)
    except ConfigError as error:
        st.warning(f"The clients of this experiment can be neither asked nor exported. {error}")
    else:
        _fold("Adapters to take home", lambda: _exports(histories), "exports")
    _fold("Log and machine", lambda: _machine(histories), "machine")


def _fold(title: str, draw: Callable[[], None], key: str) -> None:
    section = st.expander(title, key=f"fold_{key}", on_change="rerun")
    if section.open:
        with section:
            draw()


def _curves(histories: Sequence[History]) -> None:
    runs = [(history.run, history.means) for history in histories]
    planned = max(run.rounds for run, _ in runs)
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**Right answers on the pooled test set**")
        lines = charts.variant_lines(runs, "accuracy", scope="pooled")
        show_chart(charts.over_rounds(lines, planned, accuracy=True), key="pooled")
        st.caption("Everybody's pictures and words: how well a model serves sites it was not for.")
    with right:
        st.markdown("**Loss on the clients' own test sets, mean over clients**")
        lines = charts.variant_lines(runs, "loss")
        show_chart(charts.over_rounds(lines, planned, accuracy=False), key="loss")
        st.caption("Lower is better; a line that turns up again means over-fitting.")


def _fairness(shown: History) -> None:
    run = shown.run
    names = client_names(run)
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**One line per client, own test set**")
        show_chart(client_charts.per_client(run, shown.clients, names), key="clients")
        st.caption("Look for clients that stay behind the others.")
        if points := reads.tradeoffs(run.id):
            st.markdown("**Personalisation against generalisation, a point per client and way**")
            show_chart(charts.own_over_pooled(points, names), key="tradeoff")
            st.caption("Higher: better at home. Further right: better for everybody's questions.")
    with right:
        st.markdown("**Worst client, and spread over clients**")
        show_chart(charts.evenness(shown.clients), key="evenness")
        st.caption("A mean can hide a client that gains nothing.")


def _averaging(shown: History) -> None:
    rounds = shown.rounds
    error, cosine, drift = st.columns(3, gap="medium")
    with error:
        st.markdown("**Aggregation error: the server's model against the mean of the clients'**")
        if any(row.aggregation_error is not None for row in rounds):
            points = [(row.round, row.aggregation_error) for row in rounds]
            show_chart(charts.small_lines({"error": points}), key="averaging_error")
            st.caption("0 is exact. FedIT averages A and B apart: B̄Ā is not the mean of B·A.")
        else:
            st.caption("The server does not know the clients' models: a factor stays at home.")
    with cosine:
        st.markdown("**Do clients pull the same way? Cosine of their updates, mean of pairs**")
        show_chart(charts.cosines(rounds), key="averaging_cosine")
        st.caption("1: all the same way. 0: nothing in common. Below 0: against each other.")
    with drift:
        st.markdown("**How far a client's factors move in a round (drift), mean over clients**")
        show_chart(charts.drifts(shown.drifts), key="averaging_drift")
        st.caption("The length of the change. Clients that differ much pull far.")


def _privacy(shown: History, config: ExperimentConfig) -> None:
    st.markdown(
        f"**ε after each round, at δ = {config.privacy.delta:g}; now "
        f"{shown.rounds[-1].epsilon:,.1f}** "
        "(differential privacy of all that a client has sent)"
    )
    show_chart(charts.epsilons(shown.rounds), key="epsilon")
    st.caption("Small is private: near 1 is a strong promise, above 10 a weak one.")


def _crossed(run: Run) -> None:
    st.table(
        [
            {
                "for": line.purpose,
                "direction": line.direction,
                "what": line.what,
                "messages": f"{line.messages:,}",
                "clients": f"{line.clients:,}",
                "in all": size(line.bytes),
            }
            for line in crossed(run.id)
        ],
        hide_index=True,
    )
    st.caption("Every message so far, counted where it leaves and where it comes in.")
    if more := beside(run.strategy):
        st.caption(more)


def _exports(histories: Sequence[History]) -> None:
    st.caption("Every client's model as a PEFT adapter, with config and metrics.")
    with st.container(horizontal=True):
        for run in (history.run for history in histories if history.run.rounds_done):
            st.download_button(
                name_of(run.strategy),
                partial(answering.exported, run.id),
                f"run-{run.id}.zip",
                "application/zip",
                on_click="ignore",
                key=f"export_{run.id}",
            )


def _machine(histories: Sequence[History]) -> None:
    memory = psutil.virtual_memory()
    st.caption(
        f"Processor {psutil.cpu_percent():.0f} % busy, memory {memory.percent:.0f} % of "
        f"{size(memory.total)} in use."
    )
    for run in (history.run for history in histories):
        peak = f", at most {size(run.peak_rss_mb * 1e6)} of memory" if run.peak_rss_mb else ""
        st.caption(f"Run {run.id} · {run.strategy}: {duration(run.wall_seconds)} at work{peak}.")
    try:
        with (home() / "worker.log").open(errors="replace") as log:
            lines = [line.rstrip() for line in deque(log, _LOG_LINES)]
    except FileNotFoundError:
        st.caption("No worker has written a log yet.")
        return
    st.code("\n".join(lines) or "(empty)", language=None)
