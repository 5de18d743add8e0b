"""The clients one by one over the rounds: as lines, and as a heat map."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from html import escape
from statistics import median

import plotly.graph_objects as go

from app import charts, stage
from app.look import STYLES, client_name
from db.reads import ClientScore
from db.tables import Run
from engine.data.user.rows import shorten


def per_client(
    run: Run, rows: Sequence[ClientScore], names: Mapping[int, str] | None = None
) -> go.Figure:
    """Draw a line per client: the accuracy of the model that it uses, on its own test set.

    ``names`` are those that the data give to clients; a line ends in its client's name or number.
    Of more than MOST_LINES clients only the lowest, the median and the highest of each round.
    """
    style = STYLES[charts.style_of(run.strategy)]
    names = names or {}
    lines: dict[str, dict[int, float]] = defaultdict(dict)
    ends: dict[str, str] = {}
    for row in sorted(rows, key=lambda row: row.client):
        name = client_name(row.client, names.get(row.client, ""))
        lines[name][row.round] = row.accuracy
        ends[name] = shorten(names.get(row.client, ""), 14) or str(row.client)
    if len(lines) > charts.MOST_LINES:
        lines = _spread(rows)
    figure = go.Figure()
    for name, points in lines.items():
        figure.add_scatter(
            x=list(points),
            y=list(points.values()),
            mode="lines",
            line={"color": style.colour, "width": 1.5},
            opacity=0.85,
            showlegend=False,
            hovertemplate=f"{escape(name)}<br>after round %{{x}}: %{{y:.0%}}<extra></extra>",
        )
    figure = charts.finish(figure, run.rounds, True, height=330)
    places = _apart({name: list(points.values())[-1] for name, points in lines.items()})
    for name, points in lines.items():
        where = {"x": max(points), "y": places[name], "xanchor": "left", "xshift": 4}
        label = escape(ends.get(name, name))
        figure.add_annotation(text=label, showarrow=False, font_size=12, **where)
    return figure.update_layout(margin={"r": 90}) if any(names.values()) else figure


def heat_map(
    run: Run, rows: Sequence[ClientScore], names: Mapping[int, str] | None = None
) -> go.Figure:
    """Draw a row per client and a column per round, as light as the client's accuracy is high."""
    scores = {(row.client, row.round): row.accuracy for row in rows}
    clients, rounds = (sorted({key[part] for key in scores}) for part in (0, 1))
    labels = [client_name(client, (names or {}).get(client, "")) for client in clients]
    figure = go.Figure()
    figure.add_heatmap(
        x=rounds,
        y=labels,
        z=[[scores.get((client, round_)) for round_ in rounds] for client in clients],
        zmin=0,
        zmax=1,
        colorscale="Cividis",
        colorbar={"tickformat": ".0%"},
        hovertemplate="%{y}<br>after round %{x}: %{z:.0%}<extra></extra>",
    )
    figure.update_layout(
        height=110 + 22 * min(len(clients), 24),
        margin={"l": 0, "r": 0, "t": 8, "b": 0},
        xaxis={"title": "round", "tickformat": "d", "range": [-0.5, run.rounds + 0.5]},
        yaxis={"autorange": "reversed", "nticks": 24},
    )
    return stage.enlarge(figure)


def _apart(values: Mapping[str, float], gap: float = 0.06) -> dict[str, float]:
    """Place labels near their values, with so much between two that both can be read."""
    order = sorted(values, key=values.__getitem__)
    places: dict[str, float] = {}
    for rank, label in enumerate(order):
        highest = 1 - gap * (len(order) - 1 - rank)  # leaves room for those above
        lowest = places[order[rank - 1]] + gap if rank else 0.0
        places[label] = max(lowest, min(values[label], highest))
    return places


def _spread(rows: Sequence[ClientScore]) -> dict[str, dict[int, float]]:
    by_round = charts.by_round(rows)
    measures: dict[str, Callable[[list[float]], float]] = {
        "lowest": min,
        "median": median,
        "highest": max,
    }
    return {
        name: {round_: measure(values) for round_, values in by_round.items()}
        for name, measure in measures.items()
    }
