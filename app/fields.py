"""Form fields whose labels and limits come from the config's definition."""

from __future__ import annotations

from typing import Any, get_args

import streamlit as st

from engine.config import ExperimentConfig, FieldInfo, field

DEFAULTS = ExperimentConfig().model_dump()


def number(key: str, base: dict[str, Any], mark: str = "", **options: Any) -> Any:
    """Draw a number input for a config's key that starts at the value in ``base``.

    ``mark`` is what the start depends on: with another one the field starts anew. A number beyond
    the limits is answered below its field, and returned: a field with limits of its own would keep
    the number before, in silence.
    """
    info = field(key)
    options = {"value": info.value_in(base), "key": _widget_key(key, mark), **options}
    value = st.number_input(info.title, **options)
    if is_outside(value, info):
        low, high = (f"{x:,}" if isinstance(x, int) else f"{x:g}" for x in (info.low, info.high))
        st.markdown(f":red[{info.title}: from {low} to {high}.]")
    return value


def is_outside(value: float, info: FieldInfo) -> bool:
    """Tell if a number is beyond its key's limits."""
    below = info.low is not None and value < info.low
    return below or (info.high is not None and value > info.high)


def choice(key: str, base: dict[str, Any], mark: str = "") -> Any:
    """Draw a field for a config's key, as its type asks for: number, choice, tick or text."""
    info = field(key)
    start, widget = info.value_in(base), _widget_key(key, mark)
    if values := get_args(info.annotation):
        return st.radio(info.title, values, values.index(start), key=widget)
    if info.annotation is bool:
        return st.checkbox(info.title, start, key=widget)
    if info.annotation in (int, float):
        return number(key, base, mark, step=_step(info))
    return st.text_input(info.title, start, key=widget)


def words(text: str) -> list[str]:
    """Return the parts of a list that somebody wrote with commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def _widget_key(key: str, mark: str) -> str:
    return f"{key}:{mark}" if mark else key


def _step(info: FieldInfo) -> float:
    return 1 if info.annotation is int else 0.05
