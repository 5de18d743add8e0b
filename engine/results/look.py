"""The look of results on pages and in reports: colours, dashes, numbers in words.

One colour and one dash per variant everywhere (Okabe–Ito palette).
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.config import ExperimentConfig
from engine.data.user.rows import shorten
from engine.metrics import METRICS, metric_of
from engine.strategies import STRATEGIES


@dataclass(frozen=True)
class Style:
    """A variant's name and the line in which it is drawn."""

    label: str
    colour: str
    dash: str


STYLES = {
    "base": Style("Base", "#7F7F7F", "dot"),
    "global": Style("Global (one for all)", "#0072B2", "dash"),
    "personal": Style("Personalised (one each)", "#D55E00", "solid"),
    "local": Style("Alone (no federation)", "#009E73", "dashdot"),
}

ORDER = ("base", "local", "global", "personal")  # of the story


def faint(colour: str) -> str:
    """Return a colour as light as the area behind a line."""
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red},{green},{blue},.13)"


def percent(value: float | None) -> str:
    """Write an accuracy as people read it."""
    return "–" if value is None else f"{value:.0%}"


def certainty(probability: float) -> str:
    """Say how sure a model is; of a long answer seldom more than a little."""
    return f"{percent(probability)} sure" if probability >= 0.01 else "less than 1% sure"


def duration(seconds: float) -> str:
    """Write a time span in one or two units."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    minutes, rest = divmod(seconds, 60)
    return (
        f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
    )


def size(bytes_: float) -> str:
    """Write bytes in kB, MB or GB."""
    if bytes_ >= 1e9:
        return f"{bytes_ / 1e9:.1f} GB"
    return f"{bytes_ / 1e6:.1f} MB" if bytes_ >= 1e6 else f"{bytes_ / 1e3:.0f} kB"


def client_name(number: int, name: str = "") -> str:
    """Name a client as people read it: its number and, where the data have one, its name."""
    return f"Client {number} · {shorten(name, 40)}" if name else f"Client {number}"


def name_of(strategy: str) -> str:
    """Return a strategy's name without what stands in brackets."""
    return STRATEGIES[strategy].title.partition(" (")[0]


def style_of(strategy: str) -> str:
    """Return the style in which the model that a client uses is drawn."""
    return "local" if strategy == "local" else STRATEGIES[strategy].deployed_variant()


def measured(config: ExperimentConfig) -> str:
    """Name the vertical axis of a chart of how well clients do."""
    metric = metric_of(config.data.metric)
    return "Right answers" if metric is METRICS["exact"] else metric.title
