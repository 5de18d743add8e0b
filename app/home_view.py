"""What the home holds and what of it can go, at the foot of Runs."""

from __future__ import annotations

from functools import partial

import streamlit as st

from db import keeping
from engine.jobs.queue import NotPossible
from engine.paths import home
from engine.results import housekeeping
from engine.results.housekeeping import Holding
from engine.results.look import size

_TOLD = "home_told"  # of the session: what was done last


def show_home() -> None:
    """Show parts of the home with their sizes, folded: it costs nothing till somebody opens it."""
    section = st.expander("What the home holds, and what can go", key="home", on_change="rerun")
    if section.open:
        with section:
            _show_holdings()


@st.fragment
def _show_holdings() -> None:
    if told := st.session_state.pop(_TOLD, ""):
        st.success(told)
    try:
        parts = housekeeping.holdings()
    except NotPossible as mistake:
        st.warning(str(mistake))
        return
    free = sum(part.bytes for part in parts if not part.loses and not part.stays)
    st.markdown(
        f"`{home()}` holds {size(housekeeping.size(home()))}; {size(free)} can go without a loss. "
        "What runs need that train, wait or can be resumed is not in this list, nor the example."
    )
    for part in filter(lambda part: part.paths, parts):
        _show_part(part)
    if empty := [part.title for part in parts if not part.paths]:
        st.caption(f"Nothing of: {'; '.join(empty).lower()}.")


def _show_part(part: Holding) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key=f"part_{part.kind}"):
        told = f"stays: {part.stays}." if part.stays else part.told
        st.markdown(f"**{part.title}**, {size(part.bytes)}  \n:small[{told}]", width="stretch")
        if part.kind == "deleted":
            _offer_return()
        if not part.stays:
            with st.popover("Remove", key=f"remove_{part.kind}"):
                st.markdown(f"Frees {size(part.bytes)}. {part.told}")
                st.button(
                    "Remove for good", key=f"clean_{part.kind}", type="primary",
                    on_click=partial(_clean, part),
                )  # fmt: skip


def _offer_return() -> None:
    deleted = {run.id: run for run in keeping.deleted_runs()}
    with st.popover("Bring back", key="bring_back"):
        chosen = st.multiselect(
            "Deleted runs", list(deleted), key="returning",
            format_func=lambda n: f"Run {n} · {deleted[n].strategy} · {deleted[n].experiment.name}",
        )  # fmt: skip
        st.button("Bring back", key="return", disabled=not chosen, on_click=_return, args=(chosen,))


def _return(run_ids: list[int]) -> None:
    try:
        back = housekeeping.restore(run_ids)
    except NotPossible as mistake:
        st.session_state[_TOLD] = str(mistake)
    else:
        st.session_state[_TOLD] = f"Brought back: {', '.join(f'run {n}' for n in back)}."


def _clean(part: Holding) -> None:
    try:
        st.session_state[_TOLD] = f"{size(housekeeping.clean([part.kind]))} freed."
    except NotPossible as mistake:
        st.session_state[_TOLD] = str(mistake)
