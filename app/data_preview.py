"""People's own data before anything runs: how much there is, how it looks, what is wrong."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import streamlit as st

from app import answer_charts
from app.look import plain
from app.thumbnails import alike, shrunk
from app.widgets import show_chart
from engine.config import ExperimentConfig
from engine.data.account import Account
from engine.data.factory import collection_of
from engine.data.pictures import BadPicture, read_picture
from engine.data.user.collection import Collection
from engine.data.user.fitting import fitting
from engine.data.user.rows import Row
from engine.metrics import METRICS

_IMAGES = 5
_SIDE = 240  # pixels


@st.cache_data(max_entries=16, show_spinner=False)
def usable(config: ExperimentConfig, digest: str) -> Collection:
    """Read the rows that a config's model can take; ``digest`` is that of the data.

    Raises ConfigError where there is none.
    """
    return fitting(collection_of(config), config)


def show_collection(collection: Collection) -> None:
    """Show figures, problems, answers and a few images."""
    _show_figures(collection)
    show_account(collection.account)
    counts = Counter(row.answers[0] for row in collection.rows)
    _show_answers(counts)
    _show_images(collection)


def _show_figures(collection: Collection) -> None:
    metric = METRICS[collection.metric]
    tests = sum(row.split == "test" for row in collection.rows)
    cells = st.columns([2, 2, 2, 3])
    cells[0].metric("Questions", f"{len(collection.rows):,}", help=_splits(tests, collection))
    cells[1].metric("Pictures", f"{len({row.picture for row in collection.rows}):,}")
    cells[2].metric("Clients", f"{len(collection.clients):,}" if collection.clients else "–")
    cells[3].metric("Judged by", metric.title, help=metric.explanation)
    roles = {"image": "picture"}  # as people call it
    used = [f"{plain(name)} ({roles.get(role, role)})" for role, name in collection.columns.items()]
    st.caption(f"Columns: {' · '.join(used)}")
    if collection.clients:
        named = [f"{plain(name, 40)} {n:,}" for name, n in list(collection.clients.items())[:8]]
        more = f" and {len(collection.clients) - 8:,} more" if len(collection.clients) > 8 else ""
        st.caption(f"Questions of each client: {' · '.join(named)}{more}")
    else:
        st.caption("No column says whose a row is: the rows are dealt out to clients.")


def _splits(tests: int, collection: Collection) -> str:
    if not tests:
        return "The data do not say what is for testing: a part of every client's is held out."
    return f"{len(collection.rows) - tests:,} to train on and {tests:,} to test on."


def show_account(account: Account) -> None:
    """Show how many rows are used, and every problem counted and named."""
    if not account.problems:
        st.markdown(f"✓ No problems found: all {account.used:,} rows are used.")
        return
    st.markdown(f"**⚠ {account.used:,} of {account.read:,} rows are used.**")
    st.table(
        [
            {
                "what is wrong": problem.kind,
                "how many": f"{problem.count:,}",
                "so": "left out" if problem.left_out else "used as it is",
                "the first": plain(problem.first, 300),
            }
            for problem in account.problems
        ],
        hide_index=True,
    )


def _show_answers(counts: Counter[str]) -> None:
    st.markdown("**The commonest answers**")
    if max(counts.values()) == 1:
        st.caption(f"All {len(counts):,} answers are different.")
        return
    show_chart(answer_charts.answer_counts(counts), key="data_answers")
    if len(counts) > answer_charts.MOST_ANSWERS:
        st.caption(f"… and {len(counts) - answer_charts.MOST_ANSWERS:,} more answers.")


def _show_images(collection: Collection) -> None:
    chosen = _spread(collection.rows)
    images = _images(collection.digest, [str(row.picture) for row in chosen])
    for column, row, image in zip(st.columns(_IMAGES), chosen, images, strict=False):
        with column:
            st.image(image, width="stretch", alt=row.question)
            whose = f"  \n{plain(row.client, 40)}" if row.client else ""
            st.caption(f"{plain(row.question, 60)}  \n**{plain(row.answers[0], 50)}**{whose}")


def _spread(rows: tuple[Row, ...]) -> list[Row]:
    """Pick rows from front to back, each with another image."""
    steps = np.linspace(0, len(rows) - 1, _IMAGES).round().astype(int)
    return list({rows[step].picture: rows[step] for step in steps}.values())


@st.cache_data(max_entries=16, show_spinner=False)
def _images(digest: str, paths: list[str]) -> list[np.ndarray]:
    """Read images in small, in frames of one size."""
    return alike([_image(Path(path)) for path in paths])


def _image(path: Path) -> np.ndarray:
    """Read an image in small; a grey one where it has gone since it was looked at."""
    try:
        return shrunk(read_picture(path.read_bytes()), _SIDE)
    except (OSError, BadPicture):
        return np.full((_SIDE, _SIDE, 3), 128, np.uint8)
