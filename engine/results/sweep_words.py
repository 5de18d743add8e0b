"""A sweep in words, for pages and reports: its keys, its values, who is better where."""

from __future__ import annotations

from collections.abc import Sequence

from engine.config import ConfigError, field
from engine.config.sweep import shown
from engine.results.look import name_of
from engine.results.sweep import Difference, Values

SIGNS = {1: "surely better", -1: "surely worse", 0: "not sure"}


def title_of(key: str) -> str:
    """Name a key as the form does; one of a plugin that is not named any more by itself."""
    try:
        return field(key).title
    except ConfigError:
        return key


def label(values: Values) -> str:
    """Write values of the swept keys, such as ``16 / mixed``."""
    return " / ".join(map(shown, values.values()))


def who_is_better(gaps: Sequence[Difference]) -> str:
    """Say at which values one strategy is surely better or worse than another, from their line."""
    pair = f"{name_of(gaps[0].ours)} against {name_of(gaps[0].theirs)}"
    by_sign: dict[int, list[str]] = {sign: [] for sign in SIGNS}
    for gap in gaps:
        if gap.interval and gap.draws > 1:
            by_sign[gap.interval.sign].append(label(gap.values))
    told = [
        f"{SIGNS[sign]} at {', '.join(places)}" if any(places) else SIGNS[sign]
        for sign, places in by_sign.items()
        if places
    ]
    if told:
        return f"{pair}: {'; '.join(told)}."
    return f"{pair}: one draw says nothing of how sure it is; repeats do."
