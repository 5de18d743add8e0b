"""How answers of an experiment are judged, in words for charts and cards."""

from __future__ import annotations

from engine.config import ExperimentConfig
from engine.metrics import METRICS, Metric, is_right, metric_of


def measured(config: ExperimentConfig) -> str:
    """Name the vertical axis of a chart of how well clients do."""
    metric = metric_of(config.data.metric)
    return "Right answers" if metric is METRICS["exact"] else metric.title


def verdict(answer: str, references: tuple[str, ...], metric: Metric) -> list[str]:
    """Say if an answer is right, and what a metric gives that knows something in between."""
    lines = ["✓ right" if is_right(answer, references) else "✗ wrong"]
    if metric is not METRICS["exact"]:
        lines.append(f"{metric.title} {metric.score(answer, references):.0%}")
    return lines
