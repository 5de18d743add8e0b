"""The clients one by one over the rounds: as lines, and as a heat map."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from html import escape
from statistics import median
from typing import NamedTuple

import plotly.graph_objects as go

from db import reads
from db.reads import ClientCorner, ClientScore
from db.tables import Run
from engine.data.user.rows import shorten
from engine.results import charts
from engine.results.look import ORDER, STYLES, client_name, style_of

MOST_ROWS = 40  # clients that a figure names one by one
_AXIS, _LEGEND, _ROW = 60, 22, 34  # pixels; on a phone each name of the legend has its own row


def own_accuracies(runs: Sequence[Run]) -> dict[str, dict[int, float]]:
    """Return accuracies on the clients' own test sets by style, then by client; {} before any.

    Of several runs of one style the first.
    """
    accuracies: dict[str, dict[int, float]] = {}
    for run in runs:
        style = style_of(run.strategy)
        if run.rounds_done and style != "base" and style not in accuracies:
            accuracies[style] = reads.deployed_accuracies(run.id, "own")
    if accuracies and (base := reads.base_accuracies(runs[0].experiment_id)):
        accuracies["base"] = base
    return accuracies


def gains(accuracies: Mapping[str, Mapping[int, float]], names: Mapping[int, str]) -> go.Figure:
    """Draw a row per client with a point per way, joined by a line from the worst to the best.

    ``accuracies``: by style, then by client. Of more than MOST_ROWS clients the first.
    """
    clients = sorted(set().union(*accuracies.values()))[:MOST_ROWS]
    labels = {k: escape(client_name(k, names.get(k, ""))) for k in clients}
    figure = go.Figure()
    for k in clients:
        values = [by_client[k] for by_client in accuracies.values() if k in by_client]
        figure.add_scatter(
            x=[min(values), max(values)],
            y=[labels[k]] * 2,
            mode="lines",
            line={"color": "#9A958C", "width": 1},
            hoverinfo="skip",
            showlegend=False,
        )
    ways = [
        Points(STYLES[style].label, STYLES[style].colour, accuracies[style])
        for style in ORDER
        if style in accuracies
    ]
    return add_points(figure, ways, labels)


class Points(NamedTuple):
    """Accuracies on own test sets by client, drawn as points of a colour."""

    name: str
    colour: str
    accuracies: Mapping[int, float]


def add_points(figure: go.Figure, series: Sequence[Points], labels: Mapping[int, str]) -> go.Figure:
    """Draw a row per client of ``labels``, with a point of each series that has the client."""
    for number, points in enumerate(series):
        known = [k for k in labels if k in points.accuracies]
        figure.add_scatter(
            x=[points.accuracies[k] for k in known],
            y=[labels[k] for k in known],
            name=points.name,
            mode="markers",
            marker={"size": 12, "color": points.colour, "symbol": charts.SYMBOLS[number]},
            hovertemplate=f"%{{y}}<br>{points.name}: %{{x:.0%}}<extra></extra>",
        )
    return figure.update_layout(
        height=_AXIS + _LEGEND * len(series) + _ROW * len(labels),
        margin={"l": 0, "r": 0, "t": 8, "b": 0},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        xaxis={"range": [-0.02, 1.05], "tickformat": ".0%", "title": "right on its own test set"},
        yaxis={
            "autorange": "reversed", "type": "category",
            "categoryorder": "array", "categoryarray": list(labels.values()),
        },
    )  # fmt: skip


def per_client(
    run: Run, rows: Sequence[ClientScore], names: Mapping[int, str] | None = None
) -> go.Figure:
    """Draw a line per client: the accuracy of the model that it uses, on its own test set.

    ``names`` are those that the data give to clients; a line ends in its client's name or number.
    Of more than MOST_LINES clients only the lowest, the median and the highest of each round.
    """
    style = STYLES[style_of(run.strategy)]
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
    labels = [escape(client_name(k, (names or {}).get(k, ""))) for k in clients]
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
    return figure


# What a client keeps of its own, in the order from all shared to all its own.
_CORNERS = {
    "fedit": ("–", "all shared", "#0072B2"),
    "plora": ("A", "its own A, B shared", "#D55E00"),
    "half": ("½ B", "A shared, half of its own B", "#CC79A7"),
    "fedsa": ("B", "A shared, its own B", "#E69F00"),
    "local": ("A B", "all its own", "#009E73"),
}


def corners(chosen: Sequence[ClientCorner], names: Mapping[int, str] | None = None) -> go.Figure:
    """Draw a row per client and a column per round, with what the client chose in colour and word.

    Of more than MOST_ROWS clients the first.
    """
    clients = sorted({row.client for row in chosen})[:MOST_ROWS]
    rounds = sorted({row.round for row in chosen})
    by_place = {(row.client, row.round): row.corner for row in chosen}
    labels = [escape(client_name(client, (names or {}).get(client, ""))) for client in clients]
    figure = go.Figure()
    for corner, (letters, words, colour) in _CORNERS.items():
        places = [(r, labels[row]) for row, k in enumerate(clients) for r in rounds
                  if by_place.get((k, r)) == corner]  # fmt: skip
        if not places:
            continue
        figure.add_scatter(
            x=[round_ for round_, _ in places],
            y=[label for _, label in places],
            name=f"{letters}: {words}",
            mode="markers+text",
            text=letters,
            textfont={"color": "#000000", "size": 11},
            marker={"symbol": "square", "size": 24, "color": colour},
            hovertemplate=f"%{{y}}<br>after round %{{x}}: {words}<extra></extra>",
        )
    figure.update_layout(
        height=110 + 30 * len(clients),
        margin={"l": 0, "r": 0, "t": 8, "b": 0},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        xaxis={"title": "round", "tickformat": "d"},
        yaxis={"categoryorder": "array", "categoryarray": labels, "autorange": "reversed"},
    )
    return figure


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
