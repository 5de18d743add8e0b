"""The table of all runs: what it shows of each, and which of them a search and filters leave."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd
import streamlit as st

from app.widgets import linked
from db import overview
from db.engine import database_url
from db.overview import Reached
from db.tables import Run
from engine.config import flat
from engine.data.user.rows import shorten
from engine.results.look import name_of
from engine.strategies import STRATEGIES

UNMARKED = "runs_unmarked"  # of the session: how often the marks were taken away
ROW, MOST_ROWS = 35, 13  # pixels of a row; rows that are seen without scrolling
STATES = {"interrupted": "worker gone", "queued": "waiting"}  # where the status is no word


@dataclass(frozen=True)
class Line:
    """A run with what it has reached."""

    run: Run
    reached: Reached | None

    def has(self, word: str) -> bool:
        """Tell if a word of a search fits: a setting whole, or half as it is being typed."""
        if "=" in word:
            return word in self.settings
        begun = "." in word and any(setting.startswith(word) for setting in self.settings)
        return begun or word in self.text

    @cached_property
    def text(self) -> str:
        """The words that a search looks at, in small letters."""
        run, experiment = self.run, self.run.experiment
        words = (f"run {run.id}", experiment.name, run.strategy, name_of(run.strategy), state(run))
        return " ".join((*words, self.data, *experiment.tags, experiment.notes)).lower()

    @cached_property
    def settings(self) -> frozenset[str]:
        """Its settings, ``key=value`` in small letters, but those about its siblings."""
        strategy, config = self.run.strategy, flat(self.run.experiment.config).items()
        siblings = {"strategies", *STRATEGIES} - {strategy}
        own = (f"{k}={v}".lower() for k, v in config if k.partition(".")[0] not in siblings)
        return frozenset((*own, f"strategy={strategy}"))

    @property
    def data(self) -> str:
        """The name of its data."""
        return str(self.run.experiment.config.get("dataset", ""))

    @property
    def seconds(self) -> int | None:
        """Whole seconds at work; None before it began."""
        return round(self.run.wall_seconds) or None


def lines_of(runs: Sequence[Run]) -> list[Line]:
    """Return a line for each run."""
    state = tuple((run.id, run.rounds_done, run.status) for run in runs)
    scores = _reached(str(database_url()), state)
    return [Line(run, scores.get(run.id)) for run in runs]


@st.cache_data(max_entries=4, show_spinner=False)
def _reached(database: str, state: tuple[tuple[int, int, str], ...]) -> dict[int, Reached]:
    """Return what runs have reached, kept until one of them goes on."""
    return overview.reached([run_id for run_id, _, _ in state])


def state(run: Run) -> str:
    """Name the state of a run in a word or two."""
    return STATES.get(run.status, run.status)


FILTERS: dict[str, tuple[str, Callable[[Line], Iterable[str]]]] = {
    "strategy": ("Strategy", lambda line: [name_of(line.run.strategy)]),
    "state": ("State", lambda line: [state(line.run)]),
    "data": ("Data", lambda line: [line.data]),
    "tag": ("Tag", lambda line: line.run.experiment.tags),
}
# Of equal ones, and of those without a value, the newest come first.
ORDERS: dict[str, tuple[str, Callable[[Line], Any]]] = {
    "newest": ("Newest first", lambda line: -line.run.id),
    "last": ("Best last value first", lambda line: -line.reached.last if line.reached else 1),
    "best": ("Best value first", lambda line: -line.reached.best if line.reached else 1),
    "longest": ("Longest first", lambda line: -line.run.wall_seconds),
    "name": ("By name", lambda line: line.run.experiment.name.lower()),
}


def choose_lines(lines: Sequence[Line]) -> list[Line]:
    """Ask what to show, kept in the URL: a search as people type, filters, an order."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        words = _in_url("search", "".join, _search)
        left = list(lines)
        with st.popover("Filter", key="filter"):
            for name, (label, values) in FILTERS.items():
                options = sorted({value for line in lines for value in values(line)})
                if chosen := set(_choose_values(name, label, options)):
                    left = [line for line in left if chosen & set(values(line))]
        order = linked(
            "order", tuple(ORDERS), "newest",
            lambda key: st.selectbox(
                "Order", list(ORDERS), format_func=lambda o: ORDERS[o][0], key=key, width=200
            ),
        )  # fmt: skip
    asked = " ".join(words).lower().split()
    left = [line for line in left if all(line.has(word) for word in asked)]
    left.sort(key=lambda line: -line.run.id)
    return sorted(left, key=ORDERS[order][1])


def _search(key: str) -> list[str]:
    """Ask for words; what is typed counts a quarter of a second after the last letter."""
    return [
        st.text_input(
            "Search", key=key, type="search", live=True, width=420,
            placeholder="Name, tag, note, or a setting such as lora.rank=8",
        )
    ]  # fmt: skip


def _choose_values(name: str, label: str, options: list[str]) -> list[str]:
    return _in_url(
        name,
        lambda said: [value for value in said if value in options],
        lambda key: st.multiselect(
            label, options, key=key, placeholder="all", width=320,
            format_func=lambda value: shorten(value, 40),
        ),
    )  # fmt: skip


def _in_url(
    what: str, state_of: Callable[[list[str]], Any], widget: Callable[[str], list[str]]
) -> list[str]:
    """Ask by a widget whose values are kept in the URL under ``what``, once for each.

    ``state_of`` makes the widget's state of what a link says.
    """
    key, known = f"choose_{what}", f"known_{what}"
    said = st.query_params.get_all(what)
    if key not in st.session_state or said != st.session_state.get(known):
        st.session_state[key] = state_of(said)
    values = [value for value in widget(key) if value]
    if values:
        st.query_params[what] = values
    else:
        st.query_params.pop(what, None)
    st.session_state[known] = values
    return values


def choose_in_table(lines: Sequence[Line], chosen: Sequence[int]) -> list[int]:
    """Show runs as a table, ``chosen`` marked; return those that are marked now.

    What is chosen and not in the table stays chosen.
    """
    ids = [line.run.id for line in lines]
    marked = [place for place, run_id in enumerate(ids) if run_id in chosen]
    shown = st.dataframe(
        _frame(lines),
        # Another table where its rows are others: what is marked are places in it.
        key=f"runs_{hash(tuple(ids))}_{st.session_state.get(UNMARKED, 0)}",
        on_select="rerun",
        selection_mode="multi-row",
        selection_default={"selection": {"rows": marked}},
        hide_index=True,
        height=ROW * (1 + max(1, min(len(lines), MOST_ROWS))) + 3,
        column_config=_COLUMNS,
        placeholder="",
        alt="All runs, a row for each; mark rows to act on them.",
    )
    places = shown["selection"]["rows"]
    return [*(run_id for run_id in chosen if run_id not in ids), *(ids[p] for p in places)]


def _frame(lines: Sequence[Line]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "run": [line.run.id for line in lines],
            "experiment": [line.run.experiment.name for line in lines],
            "strategy": [name_of(line.run.strategy) for line in lines],
            "data": [shorten(line.data, 40) for line in lines],
            "state": [state(line.run) for line in lines],
            "rounds": [f"{line.run.rounds_done}/{line.run.rounds}" for line in lines],
            "last": [line.reached and line.reached.last for line in lines],
            "best": [line.reached and line.reached.best for line in lines],
            "duration": pd.to_timedelta([line.seconds for line in lines], unit="s"),
            "started": [line.run.started_at for line in lines],
            "tags": [line.run.experiment.tags for line in lines],
            "notes": [shorten(line.run.experiment.notes, 80) for line in lines],
        }
    )


_COLUMNS = {
    "run": st.column_config.NumberColumn("Run", format="plain", width=50),
    "experiment": st.column_config.TextColumn("Experiment", width="medium"),
    "strategy": st.column_config.TextColumn("Strategy", width=120),
    "data": st.column_config.TextColumn("Data", width=70),
    "state": st.column_config.TextColumn("State", width=90),
    "rounds": st.column_config.TextColumn("Rounds", width=60),
    "last": st.column_config.NumberColumn(
        "Own, last", format="percent", width=75,
        help="Right answers on the clients' own test sets, mean over clients, after the last round",
    ),
    "best": st.column_config.NumberColumn(
        "Own, best", format="percent", width=75, help="The same after its best round"
    ),
    "duration": st.column_config.NumberColumn("At work", format="compact", width=80),
    "started": st.column_config.DatetimeColumn(
        "Started (UTC)", format="D MMM YYYY, HH:mm", width=140
    ),
    "tags": st.column_config.ListColumn("Tags", width=120),
    "notes": st.column_config.TextColumn("Notes", width="medium"),
}  # fmt: skip
