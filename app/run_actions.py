"""What can be done with the runs that are chosen in the table."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import streamlit as st

from app.opening import link_to
from app.runs_table import UNMARKED
from app.take_along import offer_tables
from app.widgets import LIVE, RUNS, SETUP, button, tell_trouble
from db.tables import ALIVE, RESUMABLE, Run
from engine.config import ConfigError, ExperimentConfig
from engine.jobs import queue
from engine.results import housekeeping, labels
from engine.results.compare import FEWEST, MOST
from engine.results.look import size

UNDO = "deleted_runs"  # of the session: those that were deleted last


def show_actions(chosen: Sequence[Run]) -> None:
    """Offer what fits the runs that are chosen."""
    with st.container(horizontal=True, vertical_alignment="center", key="actions"):
        if not chosen:
            st.caption("Mark runs in the table to open, compare, clone, tag or delete them.")
            return
        numbers = ", ".join(str(run.id) for run in chosen[:8]) + (" …" if len(chosen) > 8 else "")
        st.markdown(f"**{'Run' if len(chosen) == 1 else f'{len(chosen)} runs:'} {numbers}**")
        if len(chosen) == 1:
            st.page_link(LIVE, label="Open", query_params={"run": str(chosen[0].id)})
            _offer_clone(chosen[0])
        if FEWEST <= len(chosen) <= MOST:
            link = {"compare": ",".join(str(run.id) for run in chosen)}
            st.page_link(RUNS, label="Compare", query_params=link)
        if any(run.status in RESUMABLE or run.status == "paused" for run in chosen):
            button("Resume", "resume_runs", partial(_resume, chosen))
        if len({run.experiment_id for run in chosen}) == 1:
            _offer_labels(chosen[0])
        with st.popover("Data", key="data_out"):
            offer_tables([run.id for run in chosen], "runs")
        _offer_deletion(chosen)
        button("Unmark", "unmark", _unmark)


def show_trouble_and_undo() -> None:
    """Say what did not work, and offer to bring back what was deleted last."""
    tell_trouble()
    if deleted := st.session_state.get(UNDO):
        what = f"Run {deleted[0]} is" if len(deleted) == 1 else f"{len(deleted)} runs are"
        with st.container(horizontal=True, vertical_alignment="center", key="undone"):
            st.markdown(
                f"{what} deleted. {size(housekeeping.bytes_of(deleted))} are freed in a week, or "
                "when you clean up."
            )
            button("Undo", "undo", partial(_undo, deleted))


def _offer_clone(run: Run) -> None:
    try:
        config = ExperimentConfig.parse({**run.experiment.config, "strategies": [run.strategy]})
    except ConfigError:  # of another version, or with a plugin that is not named any more
        return
    st.page_link(SETUP, label="Clone", query_params=link_to(config))


def _offer_labels(run: Run) -> None:
    experiment = run.experiment
    with st.popover("Name, tags, notes", key="labels"), st.form("labels_form", border=False):
        about = f"{run.id}_{experiment.name}_{experiment.tags}_{experiment.notes}"
        name = st.text_input("Name of the experiment", experiment.name, key=f"name_{about}")
        tags = st.text_input(
            "Tags, with commas between", ", ".join(experiment.tags), key=f"tags_{about}"
        )
        notes = st.text_area("Notes", experiment.notes, key=f"notes_{about}", height=100)
        if st.form_submit_button("Save", type="primary"):
            try:
                labels.set_labels(experiment.id, name, tags, notes)
            except ConfigError as mistake:
                st.error(str(mistake))
            else:
                st.rerun()


def _offer_deletion(runs: Sequence[Run]) -> None:
    """Say what deleting frees before it is done, or why it cannot be."""
    kept = [run for run in runs if run.status in ALIVE or run.experiment.bundled]
    gone = [run.id for run in runs if run not in kept]
    with st.popover("Delete", key="delete"):
        if kept:
            why = "is at work or waits: stop it first" if kept[0].status in ALIVE else (
                "is of the example that comes with the lab, and stays"
            )  # fmt: skip
            st.markdown(f"Run {kept[0].id} {why}.")
        if gone:
            what = f"run {gone[0]}" if len(gone) == 1 else f"{len(gone)} runs"
            st.markdown(
                f"Deleting {what} frees {size(housekeeping.bytes_of(gone))}: models, scores and "
                "answers. Data and exports stay. You can undo it for a week."
            )
            button(f"Delete {what}", "delete_now", partial(_delete, gone), primary=True)


def _resume(runs: Sequence[Run]) -> None:
    for run in runs:
        if run.status in RESUMABLE or run.status == "paused":
            queue.resume(run.id)


def _delete(run_ids: list[int]) -> None:
    st.session_state[UNDO] = housekeeping.delete(run_ids)
    _unmark()


def _undo(run_ids: list[int]) -> None:
    st.session_state.pop(UNDO, None)
    housekeeping.restore(run_ids)


def _unmark() -> None:
    st.query_params.pop("chosen", None)
    st.session_state[UNMARKED] = st.session_state.get(UNMARKED, 0) + 1
