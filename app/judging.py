"""How an answer is judged, in words for cards."""

from __future__ import annotations

from engine.metrics import METRICS, Metric, is_right


def verdict(answer: str, references: tuple[str, ...], metric: Metric) -> list[str]:
    """Say if an answer is right, and what a metric gives that knows something in between."""
    lines = ["✓ right" if is_right(answer, references) else "✗ wrong"]
    if metric is not METRICS["exact"]:
        lines.append(f"{metric.title} {metric.score(answer, references):.0%}")
    return lines
