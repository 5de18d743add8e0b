"""Curves over what was swept: a line per strategy or difference, in the band of its interval."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import log10
from typing import Any

import plotly.graph_objects as go

from engine.config import Axis
from engine.metrics.intervals import Interval
from engine.results.charts import SYMBOLS, draw_band
from engine.results.look import STYLES, name_of, style_of
from engine.results.sweep import SweepResult, Values
from engine.results.sweep_words import title_of

HEIGHT = 360
LOGARITHMIC_FROM = 8  # times the smallest value: from 16 to 256 each doubling is a step


@dataclass(frozen=True)
class Mark:
    """A dot: a draw's value, and the experiment that a press on it opens."""

    x: Any
    y: float
    experiment: int
    told: str


@dataclass
class Curve:
    """A line over values of the swept key, with intervals; ``marks``: the draws behind them.

    ``number``: how many of its style there are before it.
    """

    name: str
    style: str
    number: int
    x: list[Any]
    intervals: list[Interval]
    marks: list[Mark] = field(default_factory=list)


def accuracies(panel: SweepResult) -> go.Figure:
    """Draw right answers over the first swept key, a line per strategy; of no key, side by side."""
    figure = _drawn(_lines(panel), panel.axes, ".0%", "right")
    return figure.update_yaxes(range=[0, 1.02], tickformat=".0%")


def differences(panel: SweepResult, ours: str, of: SweepResult | None = None) -> go.Figure:
    """Draw by how much a strategy is better than others over the first swept key, around 0.

    ``of``: the sweep whose panels share a scale.
    """
    figure = _drawn(_gaps(panel, ours), panel.axes, "+.1f", "points")
    figure.add_hline(y=0, line_width=1, line_color=STYLES["base"].colour)
    intervals = [i for curve in _gaps(of or panel, ours) for i in curve.intervals]
    ends = [end for i in intervals for end in (i.mean, i.low, i.high) if end is not None]
    reach = [1.1 * min([-5.0, *ends]), 1.1 * max([5.0, *ends])]
    return figure.update_yaxes(range=reach, tickformat="+.0f", title="points")


def _lines(panel: SweepResult) -> list[Curve]:
    styles = {strategy: style_of(strategy) for strategy in panel.strategies}
    alike, drawn = Counter(styles.values()), Counter[str]()
    curves = []
    for strategy, line in panel.lines.items():
        style = styles[strategy]
        is_only = alike[style] == 1 and style != "personal"
        name = STYLES[style].label if is_only else name_of(strategy)
        done = [(_place(cell.values, name), cell, cell.interval) for cell in line if cell.interval]
        marks = [
            Mark(x, draw.accuracy, draw.experiment, f"seed {draw.seed}")
            for x, cell, _ in done
            for draw in cell.draws
            if draw.accuracy is not None
        ]
        x, intervals = [x for x, _, _ in done], [interval for _, _, interval in done]
        curves.append(Curve(name, style, drawn[style], x, intervals, marks))
        drawn[style] += 1
    return curves


def _gaps(panel: SweepResult, ours: str) -> list[Curve]:
    """Return a curve per difference, in points, in the style of what is compared with."""
    drawn = Counter[str]()
    curves = []
    for (better, theirs), line in panel.gaps.items():
        if better != ours:
            continue
        style, name = style_of(theirs), f"over {name_of(theirs)}"
        done = [(_place(gap.values, name), _points(gap.interval)) for gap in line if gap.interval]
        x, intervals = [x for x, _ in done], [interval for _, interval in done]
        curves.append(Curve(name, style, drawn[style], x, intervals))
        drawn[style] += 1
    return curves


def _points(interval: Interval) -> Interval:
    ends = (None if end is None else 100 * end for end in (interval.low, interval.high))
    return Interval(100 * interval.mean, *ends)


def _place(values: Values, name: str) -> Any:
    """Return where values stand on the first key's axis; without a key, a curve at its name."""
    return next(iter(values.values()), name)


def _drawn(curves: Sequence[Curve], axes: Sequence[Axis], form: str, words: str) -> go.Figure:
    figure = go.Figure()
    values = axes[0].values if axes else ()
    is_category = not values or not all(map(_is_number, values))
    for curve in curves:
        x = [str(value) for value in curve.x] if is_category else curve.x
        has_band = len(x) > 1 and all(i.low is not None for i in curve.intervals)
        if has_band:
            highest = [i.high for i in curve.intervals]
            draw_band(figure, curve.style, x, highest, [i.low for i in curve.intervals])
        if len(curve.marks) > len(x):  # of several draws
            _draw_marks(figure, curve, form, words, is_category=is_category)
        _draw_line(figure, curve, x, form, words, has_band=has_band)
    title = title_of(axes[0].key) if axes else ""
    return figure.update_layout(
        height=HEIGHT,
        margin={"l": 0, "r": 0, "t": 8, "b": 0},
        legend={"orientation": "h", "y": -0.22, "x": 0, "traceorder": "normal"},
        xaxis={"title": title, **_axis(values, is_category)},
        hovermode="closest",
    )


def _draw_marks(
    figure: go.Figure, curve: Curve, form: str, words: str, *, is_category: bool
) -> None:
    figure.add_scatter(
        x=[str(mark.x) if is_category else mark.x for mark in curve.marks],
        y=[mark.y for mark in curve.marks],
        customdata=[mark.experiment for mark in curve.marks],
        text=[mark.told for mark in curve.marks],
        mode="markers",
        marker={"size": 6, "color": STYLES[curve.style].colour, "opacity": 0.45},
        hovertemplate=f"{curve.name}, %{{text}}<br>%{{x}}: %{{y:{form}}} {words}<extra></extra>",
        showlegend=False,
    )


def _draw_line(
    figure: go.Figure, curve: Curve, x: Sequence[Any], form: str, words: str, *, has_band: bool
) -> None:
    style = STYLES[curve.style]
    means = [i.mean for i in curve.intervals]
    figure.add_scatter(
        x=x,
        y=means,
        error_y=None if has_band else _error_bars(curve.intervals),
        customdata=[_nearest(curve, *place) for place in zip(curve.x, means, strict=True)],
        text=[_between(interval, form) for interval in curve.intervals],
        name=curve.name,
        mode="lines+markers",
        line={"color": style.colour, "dash": style.dash, "width": 2.5},
        marker={"size": 9, "symbol": SYMBOLS[curve.number % len(SYMBOLS)]},
        hovertemplate=f"{curve.name}<br>%{{x}}: %{{y:{form}}} {words}%{{text}}<extra></extra>",
    )


def _nearest(curve: Curve, x: Any, mean: float) -> int | None:
    """Return the experiment of the draw nearest to a mean; None of a difference, which has none."""
    marks = [mark for mark in curve.marks if mark.x == x]
    return min(marks, key=lambda mark: abs(mark.y - mean)).experiment if marks else None


def _between(interval: Interval, form: str) -> str:
    if interval.low is None or interval.high is None:
        return ", one draw"
    return f"<br>95 % interval {interval.low:{form}} to {interval.high:{form}}"


def _error_bars(intervals: Sequence[Interval]) -> dict[str, Any]:
    up = [0 if i.high is None else i.high - i.mean for i in intervals]
    down = [0 if i.low is None else i.mean - i.low for i in intervals]
    return {"type": "data", "array": up, "arrayminus": down, "thickness": 1.5}


def _axis(values: Sequence[Any], is_category: bool) -> dict[str, Any]:
    """Return the scale of a swept key: all its values are ticks; far apart, by their logarithm.

    Those that are not measured yet have their place already: a live chart does not jump.
    """
    if is_category:
        places = [str(value) for value in values]
        return {"type": "category", "categoryarray": places, "categoryorder": "array"} | (
            {"range": [-0.5, len(places) - 0.5]} if places else {}
        )
    ticks = {"tickmode": "array", "tickvals": list(values), "ticktext": [f"{v:g}" for v in values]}
    low, high = min(values), max(values)
    if low > 0 and high >= LOGARITHMIC_FROM * low:
        return {"type": "log", "range": _padded(log10(low), log10(high)), **ticks}
    return {"range": _padded(low, high), **ticks}


def _padded(low: float, high: float) -> list[float]:
    space = 0.06 * (high - low) or 1.0
    return [low - space, high + space]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
