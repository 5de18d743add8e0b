"""ROUGE-L (Lin 2004), from the rouge-score library, with words and signs of any script."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from engine.metrics.base import METRICS, Metric, References
from engine.metrics.exact import is_right
from engine.metrics.normal_form import tokens

if TYPE_CHECKING:
    from rouge_score.rouge_scorer import RougeScorer


class Words:
    """A tokenizer for rouge-score, whose own drops all but ASCII letters and digits."""

    def tokenize(self, text: str) -> list[str]:
        """Return the words and signs of a text; without signs, for ASCII those of the library."""
        return tokens(text)


@lru_cache(maxsize=1)
def _scorer() -> RougeScorer:
    from rouge_score.rouge_scorer import RougeScorer  # a second to import

    return RougeScorer(["rougeL"], tokenizer=Words())


def _score(answer: str, references: References) -> float:
    if is_right(answer, references):
        return 1.0
    return max(_scorer().score(reference, answer)["rougeL"].fmeasure for reference in references)


METRICS["rouge_l"] = Metric(
    "ROUGE-L",
    "How many words an answer shares, in the same order, with the nearest right one.",
    _score,
)
