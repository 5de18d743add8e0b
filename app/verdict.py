"""The verdict on a finished experiment: was it worth it, for whom, how surely, at what cost."""

from __future__ import annotations

import streamlit as st

from app.look import plain
from db import reads
from engine.jobs.queue import NotPossible
from engine.results.look import client_name, percent, size
from engine.results.verdict import Verdict, verdict
from engine.results.verdict_words import compared, in_words, way, worth_it

MOST_ROWS = 64


def verdict_on(experiment: int) -> Verdict | None:
    """Return the verdict on an experiment; None where less than two of its runs are done.

    Kept until another run is done: runs of other seeds are part of it.
    """
    return _judged(experiment, reads.done_count())


@st.cache_data(max_entries=32, show_spinner=False)
def _judged(experiment: int, done: int) -> Verdict | None:
    try:
        return verdict(experiment)
    except NotPossible:
        return None


def sentence(judged: Verdict) -> str:
    """Say for how many clients it was worth it, and by how much over all, in Markdown."""
    told = worth_it(judged)
    return f"**{told.headline}**{told.rest}"


def show_verdict(judged: Verdict) -> None:
    """Show the verdict client by client, what it cost, and what left the site."""
    with st.container(key="verdict"):
        st.markdown("**Was it worth it? Right answers on each client's own test set**")
        ours, theirs = compared(judged)
        st.table(
            [
                {
                    "client": plain(client_name(client.client, client.name)),
                    **{way(key): percent(client.accuracy[key]) for key in judged.strategies},
                    f"{way(ours)} against {way(theirs)}": in_words(client.over[ours][theirs]),
                }
                for client in judged.clients[:MOST_ROWS]
            ],
            hide_index=True,
        )
        if len(judged.clients) > MOST_ROWS:
            st.caption(f"… and {len(judged.clients) - MOST_ROWS} more clients.")
        costs = [
            f"{way(key)}: {size(cost.bytes_up)} sent, {cost.left_the_site} left the site"
            for key, cost in judged.costs.items()
        ]
        st.caption(
            f"{'. '.join(costs)}. In brackets: the 95 % interval over the same test items of both."
        )
