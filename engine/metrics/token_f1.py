"""Word overlap, as in SQuAD (Rajpurkar et al., arXiv 1606.05250)."""

from __future__ import annotations

from collections import Counter

from engine.metrics.base import METRICS, Metric, References
from engine.metrics.exact import is_right
from engine.metrics.normal_form import words


def _score(answer: str, references: References) -> float:
    if is_right(answer, references):
        return 1.0
    return max(_overlap(answer, reference) for reference in references)


def _overlap(answer: str, reference: str) -> float:
    """Return the harmonic mean of precision and recall of words, each as often as it stands."""
    given, right = words(answer), words(reference)
    common = sum((Counter(given) & Counter(right)).values())
    return 2 * common / (len(given) + len(right)) if common else 0.0


METRICS["token_f1"] = Metric(
    "Word overlap (F1)",
    "How many words an answer shares with the nearest right one; order does not count.",
    _score,
)
