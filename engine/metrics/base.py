"""What a metric is: a way to judge an answer by all that count as right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from engine.plugins import Registry

References = tuple[str, ...]


@dataclass(frozen=True)
class Metric:
    """A way to judge answers; ``title`` is for charts, ``explanation`` one line for people.

    ``score`` takes an answer and all that count as right, and gives 0 (wrong) to 1 (right).
    """

    title: str
    explanation: str
    score: Callable[[str, References], float]


METRICS: Registry[Metric] = Registry("metric")


def metric_of(key: str) -> Metric:
    """Return the metric of a stored experiment's ``data.metric``; old ones all say "auto"."""
    return METRICS["exact" if key == "auto" else key]
