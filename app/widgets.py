"""Pieces that several pages use."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import urlencode

import plotly.graph_objects as go
import streamlit as st

from app import chart_files, stage, zoom
from app.look import KEYS
from db import reads
from db.tables import Run
from engine.config import ConfigError, ExperimentConfig
from engine.jobs import queue
from engine.jobs import sweeps as sweeping
from engine.results.look import client_name

T = TypeVar("T")
_LONG = 60  # letters that fit into one line
LIVE = "../pages/live.py"
CLIENTS = "../pages/clients.py"
ASK = "../pages/ask.py"
SETUP = "../pages/setup.py"
RUNS = "../pages/runs.py"
SWEEP = "../pages/sweep.py"


def run_name(run: Run) -> str:
    """Name a run as pages call it."""
    example = ", example" if run.experiment.bundled else ""
    return f"Run {run.id} · {run.strategy} · {run.experiment.name}{example}"


def choose_run(label: str = "Run", *, trained_only: bool = False) -> Run | None:
    """Ask for a run, kept in the URL as ``?run=``; None, with a hint, where there is none.

    ``?experiment=`` without a run leads to that experiment's pLoRA run, or its first.
    """
    queue.tend()
    runs = [run for run in reads.runs() if not trained_only or run.rounds_done or not run.rounds]
    if not runs:
        st.info("There is no run yet. Set one up, or press Run on the Start page.")
        st.page_link(SETUP, label="Set up an experiment")
        return None
    by_id = {run.id: run for run in runs}
    linked = number_in_url("run")
    if linked is not None and linked not in by_id:
        st.warning(f"There is no run {linked} to show here; this is another one.")
    experiment = number_in_url("experiment")
    of_it = [run for run in runs if run.experiment_id == experiment and linked is None]
    latest = of_it or [run for run in runs if run.experiment_id == runs[0].experiment_id]
    usual = next((run.id for run in latest if run.strategy == "plora"), latest[0].id)
    if of_it:
        st.query_params["run"] = str(usual)
    st.query_params.pop("experiment", None)
    return by_id[choose("run", label, list(by_id), usual, lambda key: run_name(by_id[key]))]


def title_with(title: str, width: int, choose_what: Callable[[], int | None]) -> int:
    """Write a page's title, ``width`` times as wide beside it the choice; end where none is."""
    left, right = st.columns([1, width], vertical_alignment="bottom")
    left.title(title)
    with right:
        chosen = choose_what()
    if chosen is None:
        st.stop()
    return chosen


def client_names(run: Run) -> dict[int, str]:
    """Return the names that the data give to clients, by number; none before a run has started."""
    return {client.client: client.name for client in reads.clients(run.experiment_id)}


def choose_client(clients: int, names: Mapping[int, str], usual: int = 0) -> int:
    """Ask for a client of a run, kept in the URL as ``?client=``."""
    return choose(
        "client", "Client", range(clients), usual, lambda k: client_name(k, names.get(k, ""))
    )


def choose_item(label: str, names: Mapping[int, str], usual: int, client: int) -> int:
    """Ask for a test item of a client, kept in the URL as ``?item=``; another client, another."""
    if st.session_state.setdefault("client_of_item", client) != client:
        st.session_state["client_of_item"] = client
        st.session_state.pop("choose_item", None)
    return choose("item", label, list(names), usual, names.__getitem__)


def choose(
    what: str,
    label: str,
    options: Sequence[int],
    usual: int,
    name: Callable[[int], str],
    **how: Any,
) -> int:
    """Ask for one of ``options``, kept in the URL as ``?what=``."""
    return linked(
        what,
        options,
        usual,
        lambda key: st.selectbox(label, options, format_func=name, key=key, **how),
    )


def linked(what: str, options: Sequence[T], usual: T, widget: Callable[[str], T | None]) -> T:
    """Ask by a widget whose value is kept in the URL as ``?what=``; a link that changes it counts.

    ``widget`` draws it, given the key of its state, and returns one of ``options``.
    """
    key, known = f"choose_{what}", f"known_{what}"
    by_text = {str(option): option for option in options}
    text = st.query_params.get(what, "")
    is_news = text != st.session_state.get(known) or key not in st.session_state
    if text in by_text and is_news:
        st.session_state[key] = by_text[text]
    elif st.session_state.get(key) not in options:
        st.session_state[key] = usual
    answer = widget(key)
    chosen = usual if answer is None else answer
    st.query_params[what] = st.session_state[known] = str(chosen)
    return chosen


def linked_toggle(what: str, label: str, explanation: str) -> bool:
    """Ask for yes or no, kept in the URL as ``?what=True`` where it is yes."""
    chosen = linked(
        what, (False, True), False, lambda key: st.toggle(label, key=key, help=explanation)
    )
    if not chosen:
        del st.query_params[what]
    return chosen


def linked_text(what: str, label: str, usual: str) -> str:
    """Ask for a text, kept in the URL as ``?what=`` where it is not the usual one.

    Another usual text, as of another picture, takes the place of what was written.
    """
    key, about = f"choose_{what}", f"about_{what}"
    if key not in st.session_state or st.session_state.get(about) != usual:
        is_linked = about not in st.session_state
        st.session_state[key] = st.query_params.get(what, usual) if is_linked else usual
        st.session_state[about] = usual
    written = st.text_area if len(usual) > _LONG else st.text_input
    text = written(label, key=key)
    if text != usual:
        st.query_params[what] = text
    elif what in st.query_params:
        del st.query_params[what]
    return text


def address_of_view() -> str:
    """Return the link to what the page shows."""
    return f"{st.context.url or ''}?{urlencode(st.query_params.to_dict())}"


def start_experiment(config: ExperimentConfig) -> None:
    """Submit an experiment or a sweep and go to its page. Raises ConfigError."""
    if config.is_swept:
        st.switch_page(SWEEP, query_params={"sweep": str(sweeping.submit(config))})
    experiment, _ = queue.submit(config)
    st.switch_page(LIVE, query_params={"experiment": str(experiment)})


def show_chart(figure: go.Figure, *, key: str, alt: str | None = None, **how: Any) -> None:
    """Show a figure, with the letters of the stage where that is on; it can be saved as a file.

    Where there was one with this key it is shown as that was looked at (app/zoom.py).
    """
    shown = zoom.apply(chart_files.on_paper(stage.enlarge(figure)), key)
    st.plotly_chart(shown, key=key, alt=alt, config=chart_files.options(key), **how)


def act_or_tell(act: Callable[[], object]) -> None:
    """Do what a button is for, in its callback: a press counts even while the page is drawn anew.

    What is not possible any more is left for ``tell_trouble``.
    """
    try:
        act()
    except (queue.NotPossible, reads.NoSuchRun, ConfigError) as mistake:
        st.session_state["trouble"] = str(mistake)


def tell_trouble() -> None:
    """Say once what was not possible when a button was pressed."""
    if trouble := st.session_state.pop("trouble", ""):
        st.warning(trouble)


def button(label: str, key: str, act: Callable[[], object], *, primary: bool = False) -> None:
    """Show a button that does something, see ``act_or_tell``, with its key on the keyboard."""
    st.button(
        label,
        type="primary" if primary else "secondary",
        key=key.replace(" ", "_"),
        shortcut=KEYS.get(key),
        on_click=act_or_tell,
        args=(act,),
    )


def figure(label: str, value: str, explanation: str | None = None) -> None:
    """Show one figure, as wide as it is: on a phone several stand in a row."""
    st.metric(label, value, help=explanation, width="content")


def number_in_url(key: str) -> int | None:
    """Return the number that the address bar gives for ``key``, or None."""
    text = st.query_params.get(key, "")
    return int(text) if text.isdecimal() else None
