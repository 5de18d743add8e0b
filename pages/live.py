"""Live: the rounds of a run as they happen."""

import streamlit as st

from app import charts, client_charts
from app.judging import measured
from app.look import duration, percent, size
from app.widgets import ASK, LIVE, choose_run, client_names, status_line
from db import reads
from db.tables import Evaluation, Round, Run, now
from engine.config import ConfigError, ExperimentConfig
from engine.fl.traffic import Traffic, traffic_of
from engine.jobs import queue
from engine.metrics import metric_of
from engine.vlm.resolved import resolve_model

ACTIVE = ("queued", "running")


Pairs = list[tuple[Run, list[Evaluation]]]  # the experiment's runs with their evaluations


def times(run: Run) -> tuple[str, str]:
    """Say time so far and time left."""
    rounds = reads.rounds(run.id)
    in_rounds = sum(row.seconds for row in rounds)
    if run.status == "queued":
        return "–", "waiting"
    if run.status != "running":
        return duration(max(run.wall_seconds, in_rounds)), "–"
    elapsed = duration((now() - run.started_at).total_seconds())
    if not rounds:
        return elapsed, "after round 1"
    mean = in_rounds / len(rounds)
    return elapsed, f"about {duration(mean * (run.rounds - run.rounds_done))}"


def expected_traffic(run: Run) -> Traffic | None:
    """Return a client's traffic by the formula; None, after a warning, without its model."""
    config = ExperimentConfig.parse(run.experiment.config)
    try:
        return traffic_of(run.strategy, config, resolve_model(config))
    except ConfigError as error:
        st.warning(f"The clients of this run can be neither asked nor exported. {error}")
        return None


def show_figures(run: Run, traffic: Traffic | None) -> None:
    """Show round x of N, times, accuracies, traffic."""
    summary = reads.summary(run.id)
    elapsed, left = times(run)
    cells = st.columns(6)
    cells[0].metric("Round", f"{run.rounds_done} of {run.rounds}")
    cells[1].metric("Time so far", elapsed)
    cells[2].metric("Time left", left)
    config = ExperimentConfig.parse(run.experiment.config)
    metric = metric_of(config.data.metric)
    judged = f"Mean over clients. {metric.title}: {metric.explanation}"
    cells[3].metric("Own test set", percent(summary.personal_accuracy), help=judged)
    cells[4].metric("Worst client", percent(summary.worst_client_accuracy))
    counted = "Counted in the messages."
    if traffic:
        counted += f" By the formula a client sends {size(traffic.bytes_up)} per round."
    cells[5].metric("Sent by clients", size(summary.bytes_up), help=counted)
    st.progress(run.rounds_done / run.rounds if run.rounds else float(run.status == "done"))


def exported(run_id: int) -> bytes:
    """Zip the run's adapters. A door: it brings torch."""
    from engine.results.export import zipped

    return zipped(run_id)


def show_buttons(run: Run, usable: bool) -> None:
    """Offer what fits the run's state: stop, resume, ask, export; then its sibling runs."""
    with st.container(horizontal=True, vertical_alignment="center"):
        if run.status in ACTIVE and not run.stop_requested:
            if st.button("Stop after this round", key="stop"):
                queue.stop(run.id)
                st.rerun()
        elif run.status in ACTIVE:
            st.markdown("Stopping after this round …")
        if run.status in ("stopped", "failed", "interrupted") and st.button("Resume", key="resume"):
            queue.resume(run.id)
            st.rerun()
        if run.rounds_done and usable:
            st.page_link(ASK, label="Ask its models →", query_params={"run": str(run.id)})
        if run.status not in ACTIVE and run.rounds_done and usable:
            st.download_button(
                "Export adapters",
                lambda: exported(run.id),
                f"run-{run.id}.zip",
                "application/zip",
                on_click="ignore",
                help="Every client's model as a PEFT adapter, with config and metrics.",
                key="export",
            )
        siblings = [r for r in reads.runs_of(run.experiment_id) if r.id != run.id]
        if siblings:
            st.markdown("Same clients, same data:", width="content")
        for sibling in siblings:
            label = f"Run {sibling.id} · {sibling.strategy} · {sibling.status}"
            st.page_link(LIVE, label=label, query_params={"run": str(sibling.id)})


def show_charts(run: Run, pairs: Pairs, own: list[Evaluation]) -> None:
    """Show accuracy and loss by variant over the experiment's runs, and a line per client."""
    config = ExperimentConfig.parse(run.experiment.config)
    measure = measured(config)
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown(f"**{measure} on the clients' own test sets, mean over clients**")
        lines = charts.variant_lines(pairs, "accuracy")
        st.plotly_chart(charts.over_rounds(lines, run.rounds, accuracy=True), key="accuracy")
        st.caption(
            "All runs of this experiment. A round's point appears when the server has averaged and "
            "the clients of the round have tested the result, before the next round begins."
        )
        st.markdown(f"**{measure} on the pooled test set**")
        lines = charts.variant_lines(pairs, "accuracy", scope="pooled")
        st.plotly_chart(charts.over_rounds(lines, run.rounds, accuracy=True), key="pooled")
        st.caption("Everybody's pictures and words: how well a model serves sites it was not for.")
    with right:
        clients, tested = config.clients, config.clients_tested
        lines = "One line per client" if clients <= charts.MOST_LINES else "The clients"
        st.markdown(f"**{lines} of run {run.id}. {measure}, own test set**")
        st.plotly_chart(client_charts.per_client(run, own, client_names(run)), key="clients")
        st.caption(
            "Look for clients that stay behind the others."
            if tested == clients
            else f"In a round those that take part; after the last, {tested} of {clients:,}."
        )
        st.markdown("**Loss on the clients' own test sets, mean over clients**")
        lines = charts.variant_lines(pairs, "loss")
        st.plotly_chart(charts.over_rounds(lines, run.rounds, accuracy=False), key="loss")
        st.caption("Lower is better; a line that turns up again means over-fitting.")


def show_averaging(run: Run, rounds: list[Round]) -> None:
    """Show what averaging gets wrong, how far the clients agree, and how far they move."""
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
            st.plotly_chart(charts.drifts(reads.client_rounds(run.id)), key="averaging_drift")
            st.caption("The length of the change. Clients that differ much pull far.")


def show_fairness(run: Run, own: list[Evaluation]) -> None:
    """Show how even the clients are, and what a personal model gives up elsewhere."""
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
            figure = charts.evenness(run, own)
            st.plotly_chart(figure, key="evenness")
            st.caption("A mean can hide a client that gains nothing.")


def show_privacy(run: Run, rounds: list[Round]) -> None:
    """Show what has been spent of the clients' privacy."""
    if not rounds or rounds[-1].epsilon is None:
        return
    privacy = ExperimentConfig.parse(run.experiment.config).privacy
    with st.expander("What is spent of the clients' privacy"):
        st.markdown(
            f"**ε after each round, at δ = {privacy.delta:g}; now {rounds[-1].epsilon:,.1f}** "
            "(differential privacy of all that a client has sent)"
        )
        st.plotly_chart(charts.epsilons(rounds), key="epsilon")
        st.caption("Small is private: near 1 is a strong promise, above 10 a weak one.")


def show_events(run: Run) -> None:
    """Show what happened, newest first."""
    st.markdown("**What happened**")
    for event in reads.events(run.id, limit=12):
        st.caption(f"{event.at:%H:%M:%S} UTC · {event.text}")


st.title("Live")
selected = choose_run()
if selected is None:
    st.stop()
experiment_alive = any(r.status in ACTIVE for r in reads.runs_of(selected.experiment_id))


@st.fragment(run_every=1.0 if experiment_alive else None)
def follow(run_id: int) -> None:
    """Draw the run, every second anew while the experiment is alive."""
    queue.tend()
    run = reads.run(run_id)
    status_line(run)
    traffic = expected_traffic(run)
    show_figures(run, traffic)
    show_buttons(run, usable=traffic is not None)
    pairs = [(r, reads.evaluations(r.id)) for r in reads.runs_of(run.experiment_id)]
    own = next(rows for r, rows in pairs if r.id == run.id)
    rounds = reads.rounds(run.id)
    show_charts(run, pairs, own)
    show_fairness(run, own)
    show_averaging(run, rounds)
    show_privacy(run, rounds)
    show_events(run)
    alive = any(r.status in ACTIVE for r in reads.runs_of(run.experiment_id))
    if experiment_alive and not alive:
        st.rerun()


follow(selected.id)
