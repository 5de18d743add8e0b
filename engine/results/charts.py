"""Rows in, Plotly figures out. Heights are fixed, so that a live chart does not jump."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from statistics import pstdev
from typing import NamedTuple

import plotly.graph_objects as go

from db.reads import ClientScore, MeanDrift, MeanScore, Tradeoff
from db.tables import Round, Run
from engine.results.look import STYLES, client_name, faint, style_of
from engine.strategies import STRATEGIES

MOST_LINES = 16
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "star", "cross", "pentagon")


class Line(NamedTuple):
    """A run's mean over clients by round, drawn in the style of a variant."""

    style: str
    strategy: str
    rounds: list[int]
    values: list[float]


def variant_lines(
    runs: Iterable[tuple[Run, Sequence[MeanScore]]],
    value: str,
    scope: str = "own",
    *,
    stand_in: bool = True,
) -> list[Line]:
    """Return the means of ``accuracy`` or ``loss`` by round: base, and what clients use.

    ``stand_in``: without a run of one model for all, the server's own view stands in for it.
    """
    lines: list[Line] = []
    runs = list(runs)
    alone = stand_in and all(deployed_variant(run) != "global" for run, _ in runs)
    for run, rows in runs:
        shown = deployed_variant(run)
        view = _by_round(rows, "global", scope, value)
        if alone and view:
            lines.append(Line("global", run.strategy, list(view), list(view.values())))
        means = _by_round(rows, shown, scope, value)
        if means:
            lines.append(
                Line(style_of(run.strategy), run.strategy, list(means), list(means.values()))
            )
        base = _by_round(rows, "base", scope, value)
        if base and not any(line.style == "base" for line in lines):
            span = sorted({row.round for row in rows})
            level = next(iter(base.values()))
            lines.insert(0, Line("base", run.strategy, span, [level] * len(span)))
    return lines


def over_rounds(lines: Sequence[Line], rounds: int, *, accuracy: bool) -> go.Figure:
    """Draw a line per variant over the rounds; where several runs share one, a symbol for each."""
    figure = go.Figure()
    by_style = Counter(line.style for line in lines)
    drawn: Counter[str] = Counter()
    for line in lines:
        name = STYLES[line.style].label
        if by_style[line.style] > 1:
            name = f"{name.partition(' (')[0]}: {line.strategy}"
        draw(figure, line, name, drawn[line.style], width=2.5, size=7, accuracy=accuracy)
        drawn[line.style] += 1
    return finish(figure, rounds, accuracy, height=330)


def draw(
    figure: go.Figure,
    line: Line,
    name: str,
    number: int,
    *,
    width: float,
    size: int,
    accuracy: bool = True,
) -> None:
    """Draw a line in its variant's style; ``number``: how many of that style are there already."""
    style = STYLES[line.style]
    figure.add_scatter(
        x=line.rounds,
        y=line.values,
        name=name,
        mode="lines" if line.style == "base" else "lines+markers",
        line={"color": style.colour, "dash": style.dash, "width": width},
        marker={"size": size, "symbol": SYMBOLS[number % len(SYMBOLS)]},
        hovertemplate=f"{name}<br>after round %{{x}}: %{{y:{_format(accuracy)}}}<extra></extra>",
    )


def draw_band(
    figure: go.Figure,
    style: str,
    x: Sequence[object],
    highest: Sequence[float | None],
    lowest: Sequence[float | None],
) -> None:
    """Fill what lies between two lines in the faint colour of a variant."""
    colour = STYLES[style].colour
    for ends, fill in ((highest, None), (lowest, "tonexty")):
        figure.add_scatter(
            x=x,
            y=ends,
            mode="lines",
            line={"width": 0, "color": colour},
            fill=fill,
            fillcolor=faint(colour),
            hoverinfo="skip",
            showlegend=False,
        )


def small_lines(
    series: Mapping[str, Sequence[tuple[int, float | None]]], *, accuracy: bool = False
) -> go.Figure:
    """Draw a small figure of named lines over the rounds, told apart by their dashes."""
    figure = go.Figure()
    for (name, points), dash in zip(series.items(), ("solid", "dot"), strict=False):
        known = [(x, y) for x, y in points if y is not None]
        figure.add_scatter(
            x=[x for x, _ in known],
            y=[y for _, y in known],
            name=name,
            mode="lines+markers",
            showlegend=len(series) > 1,
            line={"color": STYLES["global"].colour, "dash": dash},
            hovertemplate=f"{name}<br>round %{{x}}: %{{y:{_format(accuracy)}}}<extra></extra>",
        )
    last = max((x for points in series.values() for x, _ in points), default=1)
    figure = finish(figure, last, accuracy, height=240)
    return figure.update_layout(legend={"y": 1, "yanchor": "bottom"})


def cosines(rounds: Sequence[Round]) -> go.Figure:
    """Draw how far the clients' updates of A and of B point the same way, by round."""
    figure = small_lines(
        {
            "A": [(row.round, row.cosine_a) for row in rounds],
            "B": [(row.round, row.cosine_b) for row in rounds],
        }
    )
    return figure.update_yaxes(range=[-1.05, 1.05])


def drifts(rows: Sequence[MeanDrift]) -> go.Figure:
    """Draw how far A and B moved in a round, mean over clients."""
    return small_lines(
        {
            "A": [(row.round, row.drift_a) for row in rows],
            "B": [(row.round, row.drift_b) for row in rows],
        }
    )


def epsilons(rounds: Sequence[Round]) -> go.Figure:
    """Draw the privacy spent after each round."""
    figure = small_lines({"ε": [(row.round, row.epsilon) for row in rounds]})
    return figure.update_yaxes(tickformat="~s")


def evenness(rows: Iterable[ClientScore]) -> go.Figure:
    """Draw the worst client and the standard deviation over clients, own test sets, by round."""
    accuracies = by_round(rows)
    return small_lines(
        {
            "worst client": [(n, min(values)) for n, values in accuracies.items()],
            "standard deviation": [(n, pstdev(values)) for n, values in accuracies.items()],
        },
        accuracy=True,
    )


def own_over_pooled(
    points: Sequence[Tradeoff], names: Mapping[int, str] | None = None
) -> go.Figure:
    """Draw a point per client and run: right on the own test set, over right on the pooled one."""
    figure = go.Figure()
    for place, run in enumerate(dict.fromkeys((p.run, p.strategy) for p in points)):
        mine = [p for p in points if (p.run, p.strategy) == run]
        figure.add_scatter(
            x=[p.pooled for p in mine],
            y=[p.own for p in mine],
            text=[
                f"{p.strategy}<br>{escape(client_name(p.client, (names or {}).get(p.client, '')))}"
                for p in mine
            ],
            name=run[1],
            mode="markers",
            marker={
                "size": 11,
                "opacity": 0.75,
                "color": STYLES[style_of(run[1])].colour,
                "symbol": SYMBOLS[place % len(SYMBOLS)],
            },
            hovertemplate="%{text}<br>own %{y:.0%}, pooled %{x:.0%}<extra></extra>",
        )
    scale = {"range": [0, 1.02], "tickformat": ".0%"}
    figure.update_layout(
        height=330,
        margin={"l": 0, "r": 0, "t": 8, "b": 0},
        legend={"orientation": "h", "y": -0.22, "x": 0},
        xaxis={"title": "pooled test set", **scale},
        yaxis={"title": "own test set", **scale},
        hovermode="closest",
    )
    return figure


def deployed_variant(run: Run) -> str:
    """Return the variant that a client of this run would use."""
    return STRATEGIES[run.strategy].deployed_variant()


def _by_round(rows: Iterable[MeanScore], variant: str, scope: str, value: str) -> dict[int, float]:
    own = (row for row in rows if (row.variant, row.scope) == (variant, scope))
    return {row.round: getattr(row, value) for row in own}


def by_round(rows: Iterable[ClientScore]) -> dict[int, list[float]]:
    """Group the accuracies of all clients by round."""
    accuracies: dict[int, list[float]] = defaultdict(list)
    for row in rows:
        accuracies[row.round].append(row.accuracy)
    return dict(accuracies)


def _format(accuracy: bool) -> str:
    return ".0%" if accuracy else ".2f"


def finish(figure: go.Figure, rounds: int, accuracy: bool, height: int) -> go.Figure:
    """Set height, legend and axes of a figure over rounds."""
    figure.update_layout(
        height=height,
        margin={"l": 0, "r": 0, "t": 8, "b": 0},
        legend={"orientation": "h", "y": -0.22, "x": 0},
        xaxis={"title": "round", "range": [-0.2, max(rounds, 1) + 0.4], "tickformat": "d"},
        yaxis={"tickformat": _format(accuracy), "rangemode": "tozero"},
        hovermode="closest",
    )
    if accuracy:
        figure.update_yaxes(range=[0, 1.02])
    if rounds <= 12:
        figure.update_xaxes(dtick=1)
    return figure
