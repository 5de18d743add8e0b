"""Live: the rounds of an experiment's runs as they happen."""

from collections.abc import Sequence
from contextlib import suppress
from statistics import mean

import streamlit as st

from app import charts, client_charts
from app.history import History, histories_of
from app.judging import measured
from app.look import duration, percent, size
from app.verdict import verdict
from app.widgets import ASK, LIVE, choose_run, client_names, figure, status_line
from db import reads
from db.pacing import orders
from db.tables import ALIVE, Run, now
from engine.config import ConfigError, ExperimentConfig
from engine.fl.traffic import Traffic, traffic_of
from engine.jobs import queue
from engine.metrics import metric_of
from engine.vlm.resolved import resolve_model

LATEST = 20  # rounds whose mean time says how long the others take


def times(histories: Sequence[History], shown: History) -> tuple[str, str]:
    """Say the shown run's time so far, and the time left for all runs of its experiment."""
    run, in_rounds = shown.run, sum(row.seconds for row in shown.rounds)
    if run.status == "queued":
        elapsed = "–"
    elif run.status == "running" and run.started_at:
        elapsed = duration((now() - run.started_at).total_seconds())
    else:
        elapsed = duration(max(run.wall_seconds, in_rounds))
    missing = sum(h.run.rounds - h.run.rounds_done for h in histories if h.run.status in ALIVE)
    recent = [row.seconds for h in (shown, *histories) for row in h.rounds[-LATEST:]][:LATEST]
    if not any(h.run.status in ALIVE for h in histories):
        return elapsed, "–"
    return elapsed, f"about {duration(mean(recent) * missing)}" if recent else "after round 1"


def next_run(watched: Run, runs: Sequence[Run]) -> Run | None:
    """Return the run to go on to when the one that was watched has ended; None to stay."""
    if watched.status in ALIVE:
        st.session_state["watched"] = watched.id
    elif st.session_state.get("watched") == watched.id:
        del st.session_state["watched"]
        return next((run for run in runs if run.status in ALIVE), None)
    return None


def expected_traffic(run: Run) -> Traffic | None:
    """Return a client's traffic by the formula; None, after a warning, without its model."""
    config = ExperimentConfig.parse(run.experiment.config)
    try:
        return traffic_of(run.strategy, config, resolve_model(config))
    except ConfigError as error:
        st.warning(f"The clients of this run can be neither asked nor exported. {error}")
        return None


def show_figures(
    histories: Sequence[History], shown: History, summary: reads.Summary, traffic: Traffic | None
) -> None:
    """Show round x of N, times, accuracies, traffic, in one row or, on a phone, in few."""
    run = shown.run
    elapsed, left = times(histories, shown)
    config = ExperimentConfig.parse(run.experiment.config)
    metric = metric_of(config.data.metric)
    judged = f"Mean over clients. {metric.title}: {metric.explanation}"
    counted = "Counted in the messages."
    if traffic:
        counted += f" By the formula a client sends {size(traffic.bytes_up)} per round."
    with st.container(horizontal=True, gap="medium", horizontal_alignment="distribute"):
        figure("Round", f"{run.rounds_done} of {run.rounds}")
        figure("Time so far", elapsed)
        figure("Time left", left, "For all runs of this experiment.")
        figure("Own test set", percent(summary.personal_accuracy), judged)
        figure("Worst client", percent(summary.worst_client_accuracy))
        figure("Sent by clients", size(summary.bytes_up), counted)
    done = sum(history.run.rounds_done for history in histories)
    planned = sum(history.run.rounds for history in histories)
    st.progress(done / planned if planned else float(run.status == "done"))


def exported(run_id: int) -> bytes:
    """Zip the run's adapters. A door: it brings torch."""
    from engine.results.export import zipped

    return zipped(run_id)


def show_pace(experiment: int) -> None:
    """Offer to pause an experiment, or to go on with it, by itself or round by round."""
    if orders(experiment).round_limit is None:
        pressed = {"Pause": queue.pause}
    else:
        pressed = {"One round": queue.step, "Go on": queue.go_on}
    for label, act in pressed.items():
        if st.button(label, key=label.lower().replace(" ", "-")):
            with suppress(queue.NotPossible):  # it has ended, or somebody else has pressed
                act(experiment)
            st.rerun()


def show_buttons(run: Run, runs: Sequence[Run], usable: bool) -> None:
    """Offer what fits the run's state: stop, resume, ask, export; then its sibling runs."""
    with st.container(horizontal=True, vertical_alignment="center"):
        if run.status in ALIVE and not run.stop_requested:
            if st.button("Stop", help="Its finished rounds are kept.", key="stop"):
                queue.stop(run.id)
                st.rerun()
            show_pace(run.experiment_id)
        elif run.status in ALIVE:
            st.markdown("Stopping …")
        if run.status in ("stopped", "failed", "interrupted") and st.button("Resume", key="resume"):
            queue.resume(run.id)
            st.rerun()
        if run.rounds_done and usable:
            st.page_link(ASK, label="Ask its models →", query_params={"run": str(run.id)})
        if run.status not in ALIVE and run.rounds_done and usable:
            st.download_button(
                "Export adapters",
                lambda: exported(run.id),
                f"run-{run.id}.zip",
                "application/zip",
                on_click="ignore",
                help="Every client's model as a PEFT adapter, with config and metrics.",
                key="export",
            )
        siblings = [sibling for sibling in runs if sibling.id != run.id]
        if siblings:
            st.markdown("Same clients, same data:", width="content")
        for sibling in siblings:
            label = f"Run {sibling.id} · {sibling.strategy} · {sibling.status}"
            st.page_link(LIVE, label=label, query_params={"run": str(sibling.id)})


def show_charts(histories: Sequence[History], shown: History) -> None:
    """Show accuracy and loss by variant over the experiment's runs, and a line per client."""
    run, runs = shown.run, [(history.run, history.means) for history in histories]
    config = ExperimentConfig.parse(run.experiment.config)
    measure = measured(config)
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown(f"**{measure} on the clients' own test sets, mean over clients**")
        lines = charts.variant_lines(runs, "accuracy")
        st.plotly_chart(charts.over_rounds(lines, run.rounds, accuracy=True), key="accuracy")
        st.caption(
            "All runs of this experiment. A round's point appears when the server has averaged and "
            "the clients of the round have tested the result, before the next round begins."
        )
        st.markdown(f"**{measure} on the pooled test set**")
        lines = charts.variant_lines(runs, "accuracy", scope="pooled")
        st.plotly_chart(charts.over_rounds(lines, run.rounds, accuracy=True), key="pooled")
        st.caption("Everybody's pictures and words: how well a model serves sites it was not for.")
    with right:
        clients, tested = config.clients, config.clients_tested
        title = "One line per client" if clients <= charts.MOST_LINES else "The clients"
        st.markdown(f"**{title} of run {run.id}. {measure}, own test set**")
        lines_of_clients = client_charts.per_client(run, shown.clients, client_names(run))
        st.plotly_chart(lines_of_clients, key="clients")
        st.caption(
            "Look for clients that stay behind the others."
            if tested == clients
            else f"In a round those that take part; after the last, {tested} of {clients:,}."
        )
        st.markdown("**Loss on the clients' own test sets, mean over clients**")
        lines = charts.variant_lines(runs, "loss")
        st.plotly_chart(charts.over_rounds(lines, run.rounds, accuracy=False), key="loss")
        st.caption("Lower is better; a line that turns up again means over-fitting.")


def show_averaging(shown: History) -> None:
    """Show what averaging gets wrong, how far the clients agree, and how far they move."""
    rounds = shown.rounds
    if not any(row.cosine_a is not None or row.cosine_b is not None for row in rounds):
        return
    with st.expander("What averaging does to the factors"):
        error, cosine, drift = st.columns(3, gap="medium")
        with error:
            st.markdown(
                "**Aggregation error: the server's model against the mean of the clients'**"
            )
            if any(row.aggregation_error is not None for row in rounds):
                points = [(row.round, row.aggregation_error) for row in rounds]
                st.plotly_chart(charts.small_lines({"error": points}), key="averaging_error")
                st.caption("0 is exact. FedIT averages A and B apart: B̄Ā is not the mean of B·A.")
            else:
                st.caption("The server does not know the clients' models: a factor stays at home.")
        with cosine:
            st.markdown("**Do clients pull the same way? Cosine of their updates, mean of pairs**")
            st.plotly_chart(charts.cosines(rounds), key="averaging_cosine")
            st.caption("1: all the same way. 0: nothing in common. Below 0: against each other.")
        with drift:
            st.markdown("**How far a client's factors move in a round (drift), mean over clients**")
            st.plotly_chart(charts.drifts(shown.drifts), key="averaging_drift")
            st.caption("The length of the change. Clients that differ much pull far.")


def show_fairness(shown: History) -> None:
    """Show how even the clients are, and what a personal model gives up elsewhere."""
    run = shown.run
    points = reads.tradeoffs(run.id)
    if not points:
        return
    with st.expander("Who gains, who is left behind"):
        left, right = st.columns(2, gap="large")
        with left:
            st.markdown("**Personalisation against generalisation, a point per client and run**")
            st.plotly_chart(charts.own_over_pooled(points, client_names(run)), key="tradeoff")
            st.caption("Higher: better at home. Further right: better for everybody's questions.")
        with right:
            st.markdown(f"**Worst client, and spread over clients, of run {run.id}**")
            st.plotly_chart(charts.evenness(shown.clients), key="evenness")
            st.caption("A mean can hide a client that gains nothing.")
        st.markdown(f"**Every client of run {run.id} after every round, own test set**")
        heat_map = client_charts.heat_map(run, shown.clients, client_names(run))
        st.plotly_chart(heat_map, key="heat_map")
        st.caption("Light is right. A row that stays dark is a client that is left behind.")


def show_privacy(shown: History) -> None:
    """Show what has been spent of the clients' privacy."""
    rounds = shown.rounds
    if not rounds or rounds[-1].epsilon is None:
        return
    privacy = ExperimentConfig.parse(shown.run.experiment.config).privacy
    with st.expander("What is spent of the clients' privacy"):
        st.markdown(
            f"**ε after each round, at δ = {privacy.delta:g}; now {rounds[-1].epsilon:,.1f}** "
            "(differential privacy of all that a client has sent)"
        )
        st.plotly_chart(charts.epsilons(rounds), key="epsilon")
        st.caption("Small is private: near 1 is a strong promise, above 10 a weak one.")


st.title("Live")
selected = choose_run()
if selected is None:
    st.stop()
queue.tend()
siblings = reads.runs_of(selected.experiment_id)
histories = histories_of(siblings)
shown = next(history for history in histories if history.run.id == selected.id)
refresh = 1.0 if any(sibling.status in ALIVE for sibling in siblings) else None


@st.fragment(run_every=refresh)
def follow(summary: reads.Summary, traffic: Traffic | None) -> None:
    """Draw what changes by the second; where there is more, draw the whole page anew.

    So a second costs a few rows, however long the run is, and charts stand still between rounds.
    """
    queue.tend()
    runs = reads.runs_of(shown.run.experiment_id)
    # All of them look: none of them may be left out by any() of a generator.
    if any([history.look(run) for history, run in zip(histories, runs, strict=True)]):
        st.rerun()
    if following := next_run(shown.run, runs):
        st.query_params["run"] = str(following.id)
        st.rerun()
    status_line(shown.run)
    if sentence := verdict(runs):
        st.markdown(sentence)
    show_figures(histories, shown, summary, traffic)
    show_buttons(shown.run, runs, usable=traffic is not None)


@st.fragment(run_every=refresh)
def follow_events(run_id: int) -> None:
    """Draw what happened, newest first."""
    st.markdown("**What happened**")
    for event in reads.events(run_id, limit=12):
        st.caption(f"{event.at:%H:%M:%S} UTC · {event.text}")


follow(reads.summary(shown.run.id), expected_traffic(shown.run))
show_charts(histories, shown)
show_fairness(shown)
show_averaging(shown)
show_privacy(shown)
follow_events(shown.run.id)
