"""The form's fields for repeats and sweeps: how many draws, which keys, which values."""

from __future__ import annotations

from typing import Any, get_args, get_origin

import streamlit as st

from app.form import Form
from engine.config import field, swept_keys
from engine.config.sweep import MOST_KEYS, shown

LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)
_LABELS = ("Sweep over", "and over")
HELP = (
    "Each repeat draws other pictures, another partition and another start: the next seed. "
    "With several, charts show an interval."
)


def ask_sweep(form: Form) -> None:
    """Ask for repeats, and for one or two keys with the values that they take in turn."""
    st.markdown("**Repeats and sweep**")
    start: dict[str, list[Any]] = dict(form["sweep"])
    form.number("repeats", help=HELP)
    form["sweep"] = {}
    for label, given in zip(_LABELS, [*start, None, None][:MOST_KEYS], strict=True):
        keys = [key for key in swept_keys() if key not in form["sweep"]]
        place = "sweep" if label == _LABELS[0] else "sweep.second"
        left, right = st.columns(2)
        with left:
            key = st.selectbox(
                label,
                keys,
                keys.index(given) if given in keys else None,
                format_func=lambda key: field(key).title,
                placeholder="nothing",
                **form.widget(place),
            )
        if key is None:
            break
        with right:
            values = start.get(key, suggested(key, form[key]))
            form["sweep"][key] = st.text_input(
                "Its values",
                ", ".join(map(shown, values)),
                help="With commas, such as 1, 2, 4.",
                **form.widget(f"sweep.{key}"),
            )
    form.below("sweep")


def suggested(key: str, value: Any) -> list[Any]:
    """Return values to start with: all of a few, steps from 0 to 1, or half, same and double."""
    known = field(key)
    if get_origin(known.annotation) is not None:
        return list(get_args(known.annotation))
    if known.annotation is bool:
        return [False, True]
    if known.annotation is float and (known.low, known.high) == (0, 1) and value >= 0.1:
        return [level for level in LEVELS if known.allows(level)]
    halved = value // 2 if known.annotation is int else value / 2
    around = dict.fromkeys((halved, value, 2 * value) if value else (0, 1, 2))
    return [number for number in around if known.allows(number)]
