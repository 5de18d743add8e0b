"""Clients: who holds what, what each gains, and how they relate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from app import analysis_charts
from app.client_preview import show_clients
from app.computed import computed
from app.experiments import choose_experiment
from app.look import plain
from app.widgets import ASK, client_names, linked, show_chart, title_with
from db import reads
from db.tables import Run
from engine.config import WORLD, ConfigError, ExperimentConfig
from engine.results import charts, client_charts, kept
from engine.results.look import client_name, measured, name_of, percent
from engine.strategies import STRATEGIES

FEW = 3  # clients: fewer make no map
FACTORS = {"lora_A": "A", "lora_B": "B"}
Names = Mapping[int, str]


def show_gains(runs: Sequence[Run], names: Names, config: ExperimentConfig) -> None:
    """Show what every client's right answers are by way, and who gains most."""
    st.subheader("What each client gains")
    accuracies = client_charts.own_accuracies(runs)
    if not accuracies:
        st.info("Nothing has been trained yet: each client's gain comes with the first round.")
        return
    st.markdown(f"**{measured(config)} on each client's own test set, a point per way**")
    figure = client_charts.gains(accuracies, names)
    show_chart(figure, key="gains", alt="Right answers of each client, a point per way.")
    clients = len(set().union(*accuracies.values()))
    more = clients - client_charts.MOST_ROWS
    st.caption(
        "Look for clients whose best point is not the one that is best on average."
        + (f" … and {more:,} more clients." if more > 0 else "")
    )
    if sentence := winner(accuracies, names):
        st.markdown(sentence)


def winner(accuracies: Mapping[str, Mapping[int, float]], names: Names) -> str:
    """Say who gains most and least from its personal model over one for all; "" without both."""
    own, shared = accuracies.get("personal", {}), accuracies.get("global", {})
    gains = {k: own[k] - shared[k] for k in own.keys() & shared.keys()}
    if len(gains) < 2:
        return ""
    if len({round(100 * gain) for gain in gains.values()}) == 1:
        told = f"{100 * next(iter(gains.values())):+.0f} points"
        return (
            f"Over one model for all, every client gains as much from a model of its own: {told}."
        )
    most, least = max(gains, key=gains.__getitem__), min(gains, key=gains.__getitem__)
    told = [
        f"**{plain(client_name(k, names.get(k, '')))}** ({100 * gains[k]:+.0f} points)"
        for k in (most, least)
    ]
    return f"Over one model for all, {told[0]} gains most from a model of its own, {told[1]} least."


def show_matrix(run: Run, names: Names) -> None:
    """Show whom each client's model serves."""
    st.markdown(f"**Whose model serves whom: {name_of(run.strategy)}**")
    told = "Every client's model on every other client's test set."
    if found := computed(run, kept.MATRIX, "Compute the matrix", told):
        figure = analysis_charts.matrix(found["clients"], found["accuracy"], names)
        show_chart(figure, key="matrix", alt="Accuracy of each model on each test set.")
        st.caption("A light diagonal in the dark: each model is good at home and nowhere else.")


def show_newcomer(run: Run, config: ExperimentConfig) -> None:
    """Show what one more client gains from what the others share."""
    st.markdown(f"**One more client joins: {name_of(run.strategy)}**")
    if not STRATEGIES[run.strategy].shared_factors:
        st.caption("Nothing is shared with a newcomer: each client learns alone.")
        return
    if config.dataset != WORLD:
        st.caption("These data have only the clients that they have; nobody new can join.")
        return
    told = "A client that none has met adapts with 4, 16 and 64 samples."
    if found := computed(run, kept.NEWCOMER, "Let it join", told):
        start = {"base": found["base"], "global": found["shared"]}
        after = {
            style: {int(n): value for n, value in found[key].items()}
            for style, key in (("base", "from_base"), ("global", "from_shared"))
        }
        figure = analysis_charts.newcomer(start, after)
        show_chart(figure, key="newcomer", alt="Accuracy by samples, from two starts.")
        st.caption(
            f"It looks through the {found['camera']} camera. The gap between the lines is what "
            "the federation gives to somebody with few samples."
        )


def show_likeness(run: Run, names: Names) -> None:
    """Show how alike what the clients keep is, as a heat map and as a map."""
    st.markdown(f"**How alike what clients keep is: {name_of(run.strategy)}**")
    personal = STRATEGIES[run.strategy].personal_factors
    if not personal:
        st.caption("Clients keep nothing to themselves here: all use one model.")
        return
    told = "The cosine between what two clients have learnt and kept, from the common start."
    found = computed(run, kept.LIKENESS, "Compare them", told)
    if not found:
        return
    for factor, values in found["cosines"].items():
        heat, places = st.columns(2, gap="large")
        letter = FACTORS.get(factor, factor)
        with heat:
            st.markdown(f"{letter}: 1 is the same direction, 0 nothing in common")
            figure = analysis_charts.cosines(found["clients"], values, names)
            show_chart(figure, key=f"cosines_{factor}", alt=f"Likeness of {letter} by pair.")
        with places:
            st.markdown(f"{letter} as a map: near is alike")
            if len(found["clients"]) < FEW:
                st.caption("Two clients make no map.")
                continue
            figure = analysis_charts.likeness_map(found["clients"], values, names)
            show_chart(figure, key=f"map_{factor}", alt=f"Clients placed by likeness of {letter}.")
    if personal == {"lora_A"}:
        st.caption("B is shared: it is the same at all clients.")


def show_corners(run: Run, names: Names) -> None:
    """Show what every client chose to start from and to use, round by round."""
    if not (chosen := reads.client_corners(run.id)):
        return
    st.markdown(f"**What each client chose after a round: {name_of(run.strategy)}**")
    figure = client_charts.corners(chosen, names)
    show_chart(figure, key="corners", alt="What of its adapter each client keeps, by round.")
    st.caption(
        "The letters are the factors of its own that a client goes on with; the others are the "
        "means. Look whether clients agree, and when they settle."
    )


def show_own_and_everybodys(run: Run, names: Names) -> None:
    """Show right answers at home over right answers to everybody's questions."""
    st.markdown("**Own against everybody's, a point per client and way**")
    points = reads.tradeoffs(run.id)
    if not points:
        st.caption("It comes with the first scores.")
        return
    figure = charts.own_over_pooled(points, names)
    show_chart(figure, key="own_over_pooled", alt="Own over pooled accuracy by client.")
    st.caption("Higher: better at home. Further right: better for everybody's questions.")


def show_relations(runs: Sequence[Run], names: Names, config: ExperimentConfig) -> None:
    """Show how the clients of one way relate: analyses that are computed when asked for."""
    st.subheader("How they relate")
    by_key = {run.strategy: run for run in runs if run.rounds_done}
    usual = "plora" if "plora" in by_key else next(iter(by_key))
    way = linked(
        "way", tuple(by_key), usual,
        lambda key: st.segmented_control(
            "Way", list(by_key), format_func=name_of, required=True, key=key, wrap=True
        ),
    )  # fmt: skip
    run = by_key[way]
    left, right = st.columns(2, gap="large")
    with left:
        show_matrix(run, names)
    with right:
        show_newcomer(run, config)
    show_likeness(run, names)
    show_corners(run, names)
    left, right = st.columns(2, gap="large")
    with left:
        show_own_and_everybodys(run, names)
    with right:
        st.markdown("**Ask one of them**")
        for k in range(min(config.clients, 8)):
            label = client_name(k, names.get(k, ""))
            if k in (scores := reads.deployed_accuracies(run.id, "own")):
                label += f" · {percent(scores[k])} right"
            st.page_link(ASK, label=label, query_params={"run": str(run.id), "client": str(k)})


experiment = title_with("Clients", 5, choose_experiment)
runs = reads.runs_of(experiment)
config = ExperimentConfig.parse(runs[0].experiment.config)
names = client_names(runs[0])
show_gains(runs, names, config)
if any(run.rounds_done for run in runs):
    show_relations(runs, names, config)
st.subheader("Who holds what")
try:
    show_clients(config, str(runs[0].experiment.resolved))
except ConfigError as mistake:  # the data are no longer where they were
    st.error(str(mistake))
