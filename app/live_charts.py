"""The ways of an experiment over the rounds, in one figure with the spread over clients."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import plotly.graph_objects as go

from app import charts
from app.costs import name_of
from app.history import History
from app.look import STYLES, faint

ORDER = ("base", "local", "global", "personal")  # of the story
MOST_BANDS = 3  # more of them hide each other


def ways_over_rounds(histories: Sequence[History]) -> go.Figure:
    """Draw a line per way, its mean over clients, in a band from the worst to the best client."""
    figure = go.Figure()
    runs = [(history.run, history.means) for history in histories]
    lines = [line for line in charts.variant_lines(runs, "accuracy", stand_in=False) if line.rounds]
    lines.sort(key=lambda line: ORDER.index(line.style))
    spreads = {h.run.strategy: charts.by_round(h.clients) for h in histories if h.run.rounds}
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
    planned = max((history.run.rounds for history in histories), default=1)
    # Bands would turn the order of the legend round.
    return charts.finish(figure, planned, True, height=360).update_layout(
        legend_traceorder="normal"
    )


def _band(figure: go.Figure, line: charts.Line, spread: dict[int, list[float]]) -> None:
    rounds = [n for n in line.rounds if n in spread]
    colour = STYLES[line.style].colour
    for ends, fill in ((max, None), (min, "tonexty")):
        figure.add_scatter(
            x=rounds,
            y=[ends(spread[n]) for n in rounds],
            mode="lines",
            line={"width": 0, "color": colour},
            fill=fill,
            fillcolor=faint(colour),
            hoverinfo="skip",
            showlegend=False,
        )
