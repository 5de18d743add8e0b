"""The ways of an experiment over the rounds, in one figure with the spread over clients."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from db import reads
from db.reads import ClientScore, MeanScore
from db.tables import Run
from engine.results import charts
from engine.results.look import ORDER, STYLES, name_of

MOST_BANDS = 3  # more of them hide each other


@dataclass(frozen=True)
class Way:
    """A run with its mean scores, and its clients' accuracies with the model that they use."""

    run: Run
    means: Sequence[MeanScore]
    clients: Sequence[ClientScore]

    @classmethod
    def of(cls, run: Run) -> Way:
        """Read all of a run's scores."""
        clients = reads.client_scores(run.id, charts.deployed_variant(run))
        return cls(run, reads.mean_scores(run.id), clients)


def ways_over_rounds(ways: Sequence[Way]) -> go.Figure:
    """Draw a line per way, its mean over clients, in a band from the worst to the best client."""
    figure = go.Figure()
    runs = [(way.run, way.means) for way in ways]
    lines = [line for line in charts.variant_lines(runs, "accuracy", stand_in=False) if line.rounds]
    lines.sort(key=lambda line: ORDER.index(line.style))
    spreads = {w.run.strategy: charts.by_round(w.clients) for w in ways if w.run.rounds}
    if len(lines) <= MOST_BANDS + 1:  # and the base
        for line in lines:
            if line.style != "base":
                _band(figure, line, spreads.get(line.strategy, {}))
    same_style = Counter(line.style for line in lines)
    drawn: Counter[str] = Counter()
    for line in lines:
        label = name = STYLES[line.style].label
        if line.style != "base" and (same_style[line.style] > 1 or line.style == "personal"):
            name = f"{label.partition(' (')[0]}: {name_of(line.strategy)}"
        charts.draw(figure, line, name, drawn[line.style], width=3, size=8)
        drawn[line.style] += 1
    planned = max((way.run.rounds for way in ways), default=1)
    # Bands would turn the order of the legend round.
    return charts.finish(figure, planned, True, height=360).update_layout(
        legend_traceorder="normal"
    )


def _band(figure: go.Figure, line: charts.Line, spread: dict[int, list[float]]) -> None:
    rounds = [n for n in line.rounds if n in spread]
    highest = [max(spread[n]) for n in rounds]
    charts.draw_band(figure, line.style, rounds, highest, [min(spread[n]) for n in rounds])
