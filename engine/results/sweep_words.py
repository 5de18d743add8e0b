"""A sweep in words, for pages and reports: its keys, its values, who is better where."""

from __future__ import annotations

from typing import Any

from engine.config import ConfigError, field
from engine.results.look import name_of
from engine.results.sweep import SweepResult, Values

_SIGNS = {1: "surely better", -1: "surely worse", 0: "not sure"}


def title_of(key: str) -> str:
    """Name a key as the form does; one of a plugin that is not named any more by itself."""
    try:
        return field(key).title
    except ConfigError:
        return key


def shown(value: Any) -> str:
    """Write one value of a swept key."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def label(values: Values) -> str:
    """Write values of the swept keys; of two, the second with its name."""
    key, *second = values or [""]
    first = shown(values[key]) if key else ""
    return " / ".join([first, *(f"{title_of(k)} {shown(values[k])}" for k in second)])


def who_is_better(panel: SweepResult, ours: str, theirs: str) -> str:
    """Say at which values of the first key one strategy is surely better or worse than another."""
    pair = f"{name_of(ours)} against {name_of(theirs)}"
    by_sign: dict[int, list[str]] = {sign: [] for sign in _SIGNS}
    for gap in panel.gaps[ours, theirs]:
        if gap.interval and gap.draws > 1:
            place = [shown(gap.values[axis.key]) for axis in panel.axes[:1]]
            by_sign[gap.interval.sign] += place or [""]
    told = [
        f"{_SIGNS[sign]} at {', '.join(places)}" if any(places) else _SIGNS[sign]
        for sign, places in by_sign.items()
        if places
    ]
    if told:
        return f"{pair}: {'; '.join(told)}."
    return f"{pair}: one draw says nothing of how sure it is; repeats do."
