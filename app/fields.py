"""Form fields whose labels and limits come from the config's definition."""

from __future__ import annotations

from typing import Any, get_args

import streamlit as st

from engine.config import ExperimentConfig, FieldInfo, field

DEFAULTS = ExperimentConfig().model_dump()


def number(key: str, base: dict[str, Any], mark: str = "", **options: Any) -> Any:
    """Draw a number input for a config's key that starts at the value in ``base``.

    ``mark`` is what the start depends on: with another one the field starts anew.
    """
    info = field(key)
    options = {"value": info.value_in(base), "key": _widget_key(key, mark), **options}
    return st.number_input(info.title, info.low, info.high, **options)


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
