"""The verdict on a finished experiment: was it worth it, for whom, how surely, at what cost."""

from __future__ import annotations

import streamlit as st

from app.charts import style_of
from app.costs import name_of
from app.look import STYLES, client_name, percent, plain, size
from db import reads
from engine.jobs.queue import NotPossible
from engine.results.verdict import ALONE, Comparison, Verdict, verdict

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


def compared(judged: Verdict) -> tuple[str, str]:
    """Return the way that is judged and the one against which, by preference alone."""
    personal = [key for key in judged.over if style_of(key) == "personal"]
    ours = "plora" if "plora" in personal else (personal or list(judged.over))[0]
    others = judged.over[ours]
    return ours, ALONE if ALONE in others else next(iter(others))


def sentence(judged: Verdict) -> str:
    """Say for how many clients it was worth it, and by how much over all."""
    ours, theirs = compared(judged)
    words = [client.over[ours][theirs].verdict for client in judged.clients]
    unsure, loses = words.count("not sure"), words.count("loses")
    rest = [f"{n} {what}" for n, what in ((unsure, "not sure"), (loses, "lost")) if n]
    aside = f" ({', '.join(rest)})" if rest else ""
    total = judged.over[ours][theirs]
    draws = f" over {judged.draws} draws" if judged.draws > 1 else ""
    return (
        f"**Worth it for {words.count('gains')} of {len(words)} clients**"
        f"{aside}: {_way(ours)} against {_way(theirs)}, {_points(total)} on "
        f"their own test sets, mean over clients{draws}."
    )


def show_verdict(judged: Verdict) -> None:
    """Show the verdict client by client, what it cost, and what left the site."""
    with st.container(key="verdict"):
        st.markdown("**Was it worth it? Right answers on each client's own test set**")
        ours, theirs = compared(judged)
        st.table(
            [
                {
                    "client": plain(client_name(client.client, client.name)),
                    **{_way(key): percent(client.accuracy[key]) for key in judged.strategies},
                    f"{_way(ours)} against {_way(theirs)}": _in_words(client.over[ours][theirs]),
                }
                for client in judged.clients[:MOST_ROWS]
            ],
            hide_index=True,
        )
        if len(judged.clients) > MOST_ROWS:
            st.caption(f"… and {len(judged.clients) - MOST_ROWS} more clients.")
        costs = [
            f"{_way(key)}: {size(cost.bytes_up)} sent, {cost.left_the_site} left the site"
            for key, cost in judged.costs.items()
        ]
        st.caption(
            f"{'. '.join(costs)}. In brackets: the 95 % interval over the same test items of both."
        )


def _way(strategy: str) -> str:
    """Name a way as the story does where it is one of its three, else by its own name."""
    story = {"local": "local", "fedit": "global", "plora": "personal"}
    style = story.get(strategy)
    return STYLES[style].label.partition(" (")[0] if style else name_of(strategy)


def _in_words(comparison: Comparison) -> str:
    sign = {"gains": "✓ gains", "loses": "✗ loses", "not sure": "? not sure"}
    return f"{sign[comparison.verdict]} {_points(comparison)}"


def _points(comparison: Comparison) -> str:
    mean, low, high = (
        round(100 * value) for value in (comparison.mean, comparison.low, comparison.high)
    )
    return f"{mean:+d} points [{low:+d}, {high:+d}]"
