"""ROUGE-L (Lin 2004), from the rouge-score library, with words of any script."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from engine.metrics.base import METRICS, Metric, References

if TYPE_CHECKING:
    from rouge_score.rouge_scorer import RougeScorer

_LETTERS = re.compile(r"[^\W_]+")


class Words:
    """A tokenizer for rouge-score, whose own drops all but ASCII; for ASCII text the same."""

    def tokenize(self, text: str) -> list[str]:
        """Return the runs of letters and digits, in lower case."""
        return _LETTERS.findall(text.lower())


@lru_cache(maxsize=1)
def _scorer() -> RougeScorer:
    from rouge_score.rouge_scorer import RougeScorer  # a second to import

    return RougeScorer(["rougeL"], tokenizer=Words())


def _score(answer: str, references: References) -> float:
    return max(_scorer().score(reference, answer)["rougeL"].fmeasure for reference in references)


METRICS["rouge_l"] = Metric(
    "ROUGE-L",
    "How many words an answer shares, in the same order, with the nearest right one.",
    _score,
)
