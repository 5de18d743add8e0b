"""Analyses that are computed when somebody asks for them, and kept."""

from __future__ import annotations

from typing import Any

import streamlit as st

from db.tables import ALIVE, Run
from engine.answering import client as answering
from engine.answering.client import NoAnswer
from engine.results import kept


def computed(run: Run, kind: str, label: str, explanation: str) -> dict[str, Any] | None:
    """Return an analysis of a run's newest round; None where there is none yet.

    Then a button offers to make it, or a bar says how far it is.
    """
    result = kept.read(run.id, kind, run.rounds_done)
    if result is None:
        state = answering.progress(run.id, kind)
        at_work = state is not None and not state.ended
        st.fragment(_offer, run_every=1.0 if at_work else None)(run, kind, label, explanation)
    return result


def _offer(run: Run, kind: str, label: str, explanation: str) -> None:
    state = answering.progress(run.id, kind)
    if state is not None and not state.ended:
        st.progress(state.share, text=f"{explanation} {state.share:.0%} done.")
        return
    if kept.read(run.id, kind, run.rounds_done) is not None:
        st.rerun()
    if run.status in ALIVE:
        st.caption(f"{explanation} It can be computed when the run has ended.")
        return
    if state is not None and state.error:
        st.warning(state.error)
    st.caption(explanation)
    if st.button(label, key=f"compute_{kind}"):
        try:
            answering.analyse(run.id, kind)
        except NoAnswer as mistake:
            st.warning(str(mistake))
            return
        st.rerun()
