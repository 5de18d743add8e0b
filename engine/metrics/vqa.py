"""Agreement with people, as in the VQA evaluation (Antol et al., arXiv 1505.00468)."""

from __future__ import annotations

from statistics import mean

from engine.metrics.base import METRICS, Metric, References
from engine.metrics.normal_form import normalised

_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_DIGITS = {"none": "0", **{word: str(number) for number, word in enumerate(_NUMBERS)}}
_AGREEING = 3  # people who must have given an answer for it to count in full


def _score(answer: str, references: References) -> float:
    """Return min(people who gave this answer / 3, 1), a mean over sets that leave out one person.

    That is the official evaluation, for ten people. Of just three nobody is left out, else nobody
    could reach 1; with fewer it is an exact match.
    """
    given = _with_digits(answer)
    agreeing = [given == _with_digits(reference) for reference in references]
    if len(agreeing) < _AGREEING:
        return float(any(agreeing))
    if len(agreeing) == _AGREEING:
        return sum(agreeing) / _AGREEING
    return mean(min((sum(agreeing) - left_out) / _AGREEING, 1.0) for left_out in agreeing)


def _with_digits(text: str) -> str:
    return " ".join(_DIGITS.get(word, word) for word in normalised(text).split())


METRICS["vqa"] = Metric(
    "VQA accuracy",
    "An answer counts in full when three people gave it, by thirds when fewer did.",
    _score,
)
