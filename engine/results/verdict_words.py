"""The verdict on an experiment in words, for pages and reports."""

from __future__ import annotations

from typing import NamedTuple

from engine.results.look import STYLES, name_of, style_of
from engine.results.verdict import ALONE, Comparison, Verdict


def compared(judged: Verdict) -> tuple[str, str]:
    """Return the way that is judged and the one against which, by preference alone."""
    personal = [key for key in judged.over if style_of(key) == "personal"]
    ours = "plora" if "plora" in personal else (personal or list(judged.over))[0]
    others = judged.over[ours]
    return ours, ALONE if ALONE in others else next(iter(others))


class Sentence(NamedTuple):
    """A sentence in two parts, of which the first is what matters."""

    headline: str
    rest: str


def worth_it(judged: Verdict) -> Sentence:
    """Say for how many clients it was worth it, and by how much over all."""
    ours, theirs = compared(judged)
    words = [client.over[ours][theirs].verdict for client in judged.clients]
    unsure, loses = words.count("not sure"), words.count("loses")
    rest = [f"{n} {what}" for n, what in ((unsure, "not sure"), (loses, "lost")) if n]
    aside = f" ({', '.join(rest)})" if rest else ""
    total = judged.over[ours][theirs]
    draws = f" over {judged.draws} draws" if judged.draws > 1 else ""
    return Sentence(
        f"Worth it for {words.count('gains')} of {len(words)} clients",
        f"{aside}: {way(ours)} against {way(theirs)}, {_points(total)} on "
        f"their own test sets, mean over clients{draws}.",
    )


def way(strategy: str) -> str:
    """Name a way as the story does where it is one of its three, else by its own name."""
    story = {"local": "local", "fedit": "global", "plora": "personal"}
    style = story.get(strategy)
    return STYLES[style].label.partition(" (")[0] if style else name_of(strategy)


def in_words(comparison: Comparison) -> str:
    """Say with a sign whether it gains, and by how many points."""
    sign = {"gains": "✓ gains", "loses": "✗ loses", "not sure": "? not sure"}
    return f"{sign[comparison.verdict]} {_points(comparison)}"


def _points(comparison: Comparison) -> str:
    mean, low, high = (
        round(100 * value) for value in (comparison.mean, comparison.low, comparison.high)
    )
    return f"{mean:+d} points [{low:+d}, {high:+d}]"
