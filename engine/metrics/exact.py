"""Exact match: equal to a reference in normal form."""

from __future__ import annotations

from engine.metrics.base import METRICS, Metric, References
from engine.metrics.normal_form import normalised


def is_right(answer: str, references: References) -> bool:
    """Tell whether an answer equals any reference in normal form."""
    given = normalised(answer)
    return any(given == normalised(reference) for reference in references)


def _score(answer: str, references: References) -> float:
    return float(is_right(answer, references))


METRICS["exact"] = Metric(
    "Exact match",
    "Share of answers that equal a right one, but for case, punctuation and articles.",
    _score,
)
