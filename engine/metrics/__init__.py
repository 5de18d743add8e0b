"""How answers are judged: each metric gives one answer a score from 0 (wrong) to 1 (right).

``exact``     equal to a reference after normalisation
``token_f1``  words in common with a reference, as in SQuAD (Rajpurkar et al., arXiv 1606.05250)
``rouge_l``   longest common subsequence of words, ROUGE-L (Lin 2004), from the rouge-score library,
              with words of any script (its own tokenizer drops all but ASCII)
``vqa``       agreement with people, as in the VQA evaluation (Antol et al., arXiv 1505.00468)
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from statistics import mean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rouge_score.rouge_scorer import RougeScorer

    from engine.config import ExperimentConfig

References = tuple[str, ...]
_ARTICLES = {"a", "an", "the"}
# ASCII punctuation, except what is part of a number: -3, 2.5, 10:30, 1/2, 10-15.
_PART_OF_NUMBER = r"(?<!\w)-(?=\d)|(?<=\d)[.:/-](?=\d)"
_PUNCTUATION = re.compile(rf"(?:{_PART_OF_NUMBER})|([!-/:-@\[-`{{-~])")
_LETTERS = re.compile(r"[^\W_]+")
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_DIGITS = {"none": "0", **{word: str(number) for number, word in enumerate(_NUMBERS)}}
_AGREEING = 3  # people who must have given an answer for it to count in full


@dataclass(frozen=True)
class Metric:
    """A way to judge answers; ``title`` is for charts, ``explanation`` one line for people.

    ``score`` takes an answer and all that count as right.
    """

    key: str
    title: str
    explanation: str
    score: Callable[[str, References], float]


def normalised(text: str) -> str:
    """Text without what does not make an answer another one: case, punctuation, articles, spaces.

    As SQuAD's official evaluation does it, but marks inside numbers stay (2.5 is not 25), and what
    nothing would be left of stays as it was (option A, a sign +). Number words stay words: sites of
    the embedded world differ in just that, and have to learn it.
    """
    lower = " ".join(text.lower().split())
    bare = _PUNCTUATION.sub(lambda found: "" if found[1] else found[0], lower)
    words = bare.split()
    return " ".join([word for word in words if word not in _ARTICLES] or words) or lower


def is_right(answer: str, references: References) -> bool:
    """Whether an answer equals any reference after normalisation."""
    found = normalised(answer)
    return any(found == normalised(reference) for reference in references)


def _exact(answer: str, references: References) -> float:
    return float(is_right(answer, references))


def _token_f1(answer: str, references: References) -> float:
    return max(_overlap(answer, reference) for reference in references)


def _overlap(answer: str, reference: str) -> float:
    """Harmonic mean of precision and recall of words, each counted as often as it stands there."""
    given, wanted = normalised(answer).split(), normalised(reference).split()
    common = sum((Counter(given) & Counter(wanted)).values())
    return 2 * common / (len(given) + len(wanted)) if common else 0.0


def _rouge_l(answer: str, references: References) -> float:
    return max(_scorer().score(reference, answer)["rougeL"].fmeasure for reference in references)


class _Words:
    """A tokenizer for rouge-score; for ASCII text the same as its own."""

    def tokenize(self, text: str) -> list[str]:
        """Runs of letters and digits, in lower case."""
        return _LETTERS.findall(text.lower())


@lru_cache(maxsize=1)
def _scorer() -> RougeScorer:
    from rouge_score.rouge_scorer import RougeScorer  # a second to import

    return RougeScorer(["rougeL"], tokenizer=_Words())


def _vqa(answer: str, references: References) -> float:
    """min(people who gave this answer / 3, 1), a mean over sets that leave out one person each.

    That is the official evaluation, for ten people. Of just three nobody is left out, else nobody
    could reach 1; with fewer it is an exact match.
    """
    found = _with_digits(answer)
    agreeing = [found == _with_digits(reference) for reference in references]
    if len(agreeing) < _AGREEING:
        return float(any(agreeing))
    if len(agreeing) == _AGREEING:
        return sum(agreeing) / _AGREEING
    return mean(min((sum(agreeing) - left_out) / _AGREEING, 1.0) for left_out in agreeing)


def _with_digits(text: str) -> str:
    return " ".join(_DIGITS.get(word, word) for word in normalised(text).split())


METRICS: dict[str, Metric] = {
    metric.key: metric
    for metric in (
        Metric(
            "exact",
            "Exact match",
            "Share of answers that equal a right one, but for case, punctuation and articles.",
            _exact,
        ),
        Metric(
            "token_f1",
            "Word overlap (F1)",
            "How many words an answer shares with the nearest right one; order does not count.",
            _token_f1,
        ),
        Metric(
            "rouge_l",
            "ROUGE-L",
            "How many words an answer shares, in the same order, with the nearest right one.",
            _rouge_l,
        ),
        Metric(
            "vqa",
            "VQA accuracy",
            "An answer counts in full when three people gave it, by thirds when fewer did.",
            _vqa,
        ),
    )
}


def metric_of(config: ExperimentConfig) -> Metric:
    """The metric of a stored experiment; those from before there were several say nothing."""
    return METRICS["exact" if config.data.metric == "auto" else config.data.metric]
