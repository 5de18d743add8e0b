"""The rounds of a run as a page has read them: another look costs what is new, not what there is.

What is committed does not change, so only the last round is read again: its scores may come after
the round itself.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

import streamlit as st

from db import reads
from db.engine import database_url
from db.tables import Round, Run
from engine.results.charts import deployed_variant

T = TypeVar("T", Round, reads.MeanScore, reads.ClientScore, reads.MeanDrift)


@dataclass
class History:
    """One run's rounds, scores and drifts, in order of rounds."""

    run: Run
    rounds: list[Round] = field(default_factory=list)
    means: list[reads.MeanScore] = field(default_factory=list)
    clients: list[reads.ClientScore] = field(default_factory=list)
    drifts: list[reads.MeanDrift] = field(default_factory=list)

    def look(self, run: Run) -> bool:
        """Read what has come since the last look; tell if anything has."""
        before = self._state()
        self.run = run
        after = max((score.round for score in self.means), default=0) - 1
        variant = deployed_variant(run)
        _renew(self.rounds, after, reads.rounds(run.id, after_round=after))
        _renew(self.means, after, reads.mean_scores(run.id, after_round=after))
        _renew(self.clients, after, reads.client_scores(run.id, variant, after_round=after))
        _renew(self.drifts, after, reads.mean_drifts(run.id, after_round=after))
        return self._state() != before

    def _state(self) -> tuple[str, bool, int, int, int]:
        run = self.run
        counts = len(self.rounds), len(self.means), len(self.clients)
        return run.status, run.stop_requested, *counts


def _renew(rows: list[T], last: int, newer: list[T]) -> None:
    """Put newer rows in the place of those after round ``last``."""
    rows[bisect_right(rows, last, key=lambda row: row.round) :] = newer


def histories_of(runs: Iterable[Run]) -> list[History]:
    """Return this tab's histories of these runs, up to date."""
    kept: dict[tuple[str, int], History] = st.session_state.setdefault("histories", {})
    histories = [kept.setdefault((str(database_url()), run.id), History(run)) for run in runs]
    for history, run in zip(histories, runs, strict=True):
        history.look(run)
    return histories
