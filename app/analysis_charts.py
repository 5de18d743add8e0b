"""Figures of the clients side by side: gains, whom a model serves, likeness, the newcomer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
import plotly.graph_objects as go

from engine.data.user.rows import shorten
from engine.results import charts
from engine.results.client_charts import MOST_ROWS
from engine.results.look import STYLES, client_name

_MOST_WRITTEN = 12  # clients of a heat map with its numbers written in
_MARGIN = {"l": 0, "r": 0, "t": 8, "b": 0}


def matrix(
    clients: Sequence[int], accuracy: Sequence[Sequence[float]], names: Mapping[int, str]
) -> go.Figure:
    """Draw whose model (row) is how good on whose test set (column): light is right."""
    return _square(
        [_short(k, names) for k in clients],
        accuracy,
        titles=("test set of", "model of"),
        written="%{z:.0%}",
        zmin=0,
        zmax=1,
        colorscale="Cividis",
        colorbar={"tickformat": ".0%"},
        hovertemplate="model of %{y}, tests of %{x}: %{z:.0%}<extra></extra>",
    )


def cosines(
    clients: Sequence[int], values: Sequence[Sequence[float]], names: Mapping[int, str]
) -> go.Figure:
    """Draw how alike what clients have learnt is: 1 the same direction, 0 nothing in common."""
    return _square(
        [_short(k, names) for k in clients],
        values,
        written="%{z:.2f}",
        zmin=-1,
        zmax=1,
        colorscale="RdBu_r",
        colorbar={"tickformat": ".1f"},
        hovertemplate="%{y} and %{x}: %{z:.2f}<extra></extra>",
    )


def likeness_map(
    clients: Sequence[int], values: Sequence[Sequence[float]], names: Mapping[int, str]
) -> go.Figure:
    """Draw the clients as points, near where what they have learnt is alike."""
    places = placed(1 - np.array(values))
    reach = 1.35 * float(np.abs(places).max() or 1.0)
    figure = go.Figure()
    figure.add_scatter(
        x=places[:, 0],
        y=places[:, 1],
        text=[_short(k, names) for k in clients],
        customdata=[escape(client_name(k, names.get(k, ""))) for k in clients],
        mode="markers+text" if len(clients) <= MOST_ROWS else "markers",
        textposition="top center",
        marker={"size": 13, "color": STYLES["personal"].colour},
        hovertemplate="%{customdata}<extra></extra>",
    )
    axis = {"range": [-reach, reach], "visible": False}
    figure.update_layout(height=330, margin=_MARGIN, xaxis=axis, yaxis={**axis, "scaleanchor": "x"})
    return figure


def placed(distances: np.ndarray) -> np.ndarray:
    """Return places (n, 2) whose distances are as near as they can be to those given (n, n).

    Classical scaling (Torgerson 1952): the two largest eigenvectors of the centred squares.
    """
    n = len(distances)
    centre = np.eye(n) - 1 / n
    values, vectors = np.linalg.eigh(-0.5 * centre @ distances**2 @ centre)
    places = np.zeros((n, 2))
    for axis in range(min(2, n)):
        vector = vectors[:, -1 - axis]
        vector = vector * np.sign(vector[np.abs(vector).argmax()])  # else it turns by chance
        places[:, axis] = vector * np.sqrt(max(values[-1 - axis], 0))
    return places


def newcomer(start: Mapping[str, float], after: Mapping[str, Mapping[int, float]]) -> go.Figure:
    """Draw how a newcomer learns from few samples: from the base, and from what is shared.

    ``start`` and ``after`` (by samples) hold accuracies by style, "base" and "global".
    """
    figure = go.Figure()
    told = {"base": "starts from the base", "global": "starts from what the others share"}
    for number, (style, label) in enumerate(told.items()):
        counts = [0, *after[style]]
        figure.add_scatter(
            x=[str(count) for count in counts],  # a category each: they grow fourfold
            y=[start[style], *after[style].values()],
            name=label,
            mode="lines+markers",
            line={"color": STYLES[style].colour, "dash": STYLES[style].dash, "width": 2.5},
            marker={"size": 8, "symbol": charts.SYMBOLS[number]},
            hovertemplate=f"{label}<br>%{{x}} samples: %{{y:.0%}}<extra></extra>",
        )
    figure.update_layout(
        height=330,
        margin=_MARGIN,
        legend={"orientation": "h", "y": -0.22, "x": 0},
        xaxis={"title": "samples of its own", "type": "category"},
        yaxis={"range": [0, 1.02], "tickformat": ".0%"},
    )
    return figure


def _square(
    labels: Sequence[str],
    values: Sequence[Sequence[float]],
    *,
    written: str,
    titles: tuple[str, str] = ("", ""),
    **look: Any,
) -> go.Figure:
    """Draw clients against clients; few of them with their values, as ``written``."""
    figure = go.Figure()
    template = written if len(labels) <= _MOST_WRITTEN else None
    figure.add_heatmap(x=labels, y=labels, z=values, texttemplate=template, **look)
    figure.update_layout(
        height=330,
        margin=_MARGIN,
        xaxis={"title": titles[0], "type": "category"},
        yaxis={"title": titles[1], "type": "category", "autorange": "reversed"},
    )
    return figure


def _short(client: int, names: Mapping[int, str]) -> str:
    return f"{client} {shorten(names[client], 10)}" if names.get(client) else str(client)
