"""Figures of runs side by side: curves over the rounds, and client by client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from app.look import ink
from engine.results import charts
from engine.results.client_charts import MOST_ROWS, Points, add_points
from engine.results.look import STYLES, client_name, style_of

# Where two runs are of one variant its colour cannot tell them apart: Okabe and Ito's others.
_COLOURS = ("#CC79A7", "#56B4E9", "#E69F00", "", "#8A6BBE", "#7A8B00")


def colours(strategies: Sequence[str]) -> list[str]:
    """Return a colour per run: its variant's, or others where two runs are of one variant."""
    styles = [style_of(strategy) for strategy in strategies]
    if len(set(styles)) == len(styles):
        return [STYLES[style].colour for style in styles]
    return [colour or ink() for colour in _COLOURS[: len(styles)]]


def curves(
    names: Sequence[str], strategies: Sequence[str], by_round: Sequence[Mapping[int, float]]
) -> go.Figure:
    """Draw a line per run, told apart by colour and sign; dashes are those of its variant."""
    figure = go.Figure()
    drawn = zip(names, strategies, colours(strategies), by_round, strict=True)
    for number, (name, strategy, colour, points) in enumerate(drawn):
        figure.add_scatter(
            x=list(points),
            y=list(points.values()),
            name=name,
            mode="lines+markers",
            line={"color": colour, "dash": STYLES[style_of(strategy)].dash, "width": 2.5},
            marker={"size": 7, "symbol": charts.SYMBOLS[number]},
            hovertemplate=f"{name}<br>after round %{{x}}: %{{y:.0%}}<extra></extra>",
        )
    last = max((round_ for points in by_round for round_ in points), default=1)
    return charts.finish(figure, last, True, height=360)


def by_client(
    names: Sequence[str],
    strategies: Sequence[str],
    clients: Mapping[int, Sequence[float | None]],
) -> go.Figure:
    """Draw a row per client with a point per run. Of more than MOST_ROWS clients the first."""
    labels = {client: client_name(client) for client in list(clients)[:MOST_ROWS]}
    reached = [
        Points(name, colour, {k: own for k in labels if (own := clients[k][number]) is not None})
        for number, (name, colour) in enumerate(zip(names, colours(strategies), strict=True))
    ]
    return add_points(go.Figure(), reached, labels)
