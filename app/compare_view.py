"""Runs side by side: what differs, curves, client by client, the same picture asked of all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from app import compare_charts
from app.answers import show_cards
from app.look import plain
from app.subjects import Subject, dataset_of, example_of
from app.widgets import LIVE, choose, show_chart
from db import reads
from db.tables import Run
from engine.answering import client as answering
from engine.answering.client import NoAnswer, Picture
from engine.config import ConfigError, ExperimentConfig, field, known_keys
from engine.data.user.rows import shorten
from engine.results.client_charts import MOST_ROWS
from engine.results.compare import Comparison, compare
from engine.results.look import duration, name_of, percent
from engine.results.variants import ClientAnswer

_SIDE = 260  # pixels of the picture's longer side


def show_comparison(numbers: Sequence[int]) -> None:
    """Show runs side by side. Raises NoSuchRun, NotPossible, ConfigError."""
    comparison = compare(numbers)
    runs = reads.chosen_runs([summary.run for summary in comparison.runs])
    names = list(map(_title, runs))
    _show_runs(runs, comparison)
    st.subheader("What differs in their configs")
    if comparison.differences:
        st.table(_rows(comparison.differences, names), hide_index=True)
    else:
        st.markdown("Nothing: they are runs of one config.")
    strategies = [run.strategy for run in runs]
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**Right answers on the clients' own test sets, mean over clients**")
        figure = compare_charts.curves(names, strategies, comparison.curves)
        show_chart(figure, key="compared", alt="Right answers by round, a line per run.")
        st.caption("Lines of runs that started alike part where what differs begins to count.")
    with right:
        st.markdown("**Client by client, after the last round**")
        figure = compare_charts.by_client(names, strategies, comparison.clients)
        show_chart(figure, key="compared_clients", alt="Right answers by client, a point per run.")
        st.caption(_about_clients(comparison))
    _show_one_picture(runs)


def _title(run: Run) -> str:
    return f"Run {run.id} · {name_of(run.strategy)}"


def _show_runs(runs: Sequence[Run], comparison: Comparison) -> None:
    st.table(
        [
            {
                "run": f"Run {run.id}",
                "experiment": plain(run.experiment.name, 40),
                "strategy": name_of(run.strategy),
                "own": percent(summary.personal_accuracy),
                "worst client": percent(summary.worst_client_accuracy),
                "everybody's": percent(summary.pooled_accuracy),
                "rounds": f"{run.rounds_done}/{run.rounds}",
                "at work": duration(run.wall_seconds),
                "state": run.status,
            }
            for run, summary in zip(runs, comparison.runs, strict=True)
        ],
        hide_index=True,
    )
    with st.container(horizontal=True):
        for run in runs:
            st.page_link(LIVE, label=f"Open run {run.id}", query_params={"run": str(run.id)})


def _rows(differences: dict[str, list[Any]], names: Sequence[str]) -> list[dict[str, str]]:
    known = set(known_keys())
    rows = []
    for key, values in differences.items():
        title = f"{field(key).title} :small[:gray[{key}]]" if key in known else key.capitalize()
        cells = {name: _written(key, value) for name, value in zip(names, values, strict=True)}
        rows.append({"setting": title, **cells})
    return rows


def _written(key: str, value: Any) -> str:
    if value is None:
        return "–"
    if key == "strategy":
        return name_of(value)
    return plain(", ".join(map(str, value)) if isinstance(value, list) else str(value))


def _about_clients(comparison: Comparison) -> str:
    """Say whether client k is the same site in all of the runs."""
    more = len(comparison.clients) - MOST_ROWS
    told = "The same sites with the same data in all of these runs." if comparison.same_sites else (
        "Their data differ: a client of one run is not the same site in another."
    )  # fmt: skip
    return told + (f" … and {more:,} more clients." if more > 0 else "")


def _show_one_picture(runs: Sequence[Run]) -> None:
    st.subheader("The same picture, asked of all")
    trained = [run for run in runs if run.rounds_done or not run.rounds]
    if not trained:
        st.caption("None of them has a finished round yet.")
        return
    try:
        subject, client = _choose(trained[0])
    except ConfigError as mistake:  # the data are no longer where they were
        st.error(str(mistake))
        return
    left, right = st.columns([2, 5], gap="large")
    with left:
        height, width = subject.image.shape[:2]
        shown = max(1, _SIDE * width // max(height, width))
        st.image(subject.image, width=shown, alt=subject.question)
        st.markdown(f"*{plain(subject.question, 300)}*")
        asked = st.button("Ask all of them", type="primary", key="ask_all")
    about = (client, subject.question, tuple(run.id for run in trained))
    if asked:
        st.session_state["asked_of_all"] = about
    if st.session_state.get("asked_of_all") == about:
        with right:
            _show_answers(trained, subject, client)


def _choose(run: Run) -> tuple[Subject, int]:
    """Ask for a client of the first run and one of its test items. Raises ConfigError."""
    config = ExperimentConfig.parse(run.experiment.config)
    values = config.model_dump_json()
    dataset = dataset_of(values)
    which, item = st.columns([1, 3])
    with which:
        client = choose(
            "client", f"Client of run {run.id}", range(config.clients), 0, lambda k: f"Client {k}"
        )
    items = dataset.items(client, "test")
    with item:
        number = choose(
            "item", "Test picture", range(len(items)), 0,
            lambda n: f"{n + 1}. {shorten(items[n].question)}",
        )  # fmt: skip
    example = example_of(values, client, number)
    accepted = {client: dataset.accepted_by(client, client, "test", number)}
    return Subject(example.image, example.image, example.question, accepted), client


def _show_answers(runs: Sequence[Run], subject: Subject, client: int) -> None:
    cards = []
    for run in runs:
        title = _title(run)
        try:
            [answer] = _answer_of(run.id, run.rounds_done, client, subject.file, subject.question)
        except (NoAnswer, ConfigError, reads.NoSuchRun) as mistake:
            st.warning(f"{title}: {mistake}")
        else:
            cards.append((title, answer))
    show_cards(cards, subject.accepted.get(client))
    st.caption(
        f"Each run's model of client {client}, judged by the words of this client in run "
        f"{runs[0].id}."
    )


@st.cache_data(max_entries=256, show_spinner="The models are thinking …")
def _answer_of(
    run_id: int, rounds: int, client: int, image: Picture, question: str
) -> list[ClientAnswer]:
    """Ask the model that a client uses. Raises NoAnswer, ConfigError."""
    return answering.ask_clients(run_id, [client], image, question)
