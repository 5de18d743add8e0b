"""Form fields whose labels and limits come from the config's definition."""

from __future__ import annotations

from typing import Any

import streamlit as st

from engine.config import ExperimentConfig, field

DEFAULTS = ExperimentConfig().model_dump()


def number(key: str, base: dict[str, Any], mark: str = "", **options: Any) -> Any:
    """A number input for a config's key that starts at the value in ``base``.

    ``mark`` is what the start depends on: with another one the field starts anew.
    """
    found = field(key)
    options = {"value": found.value_in(base), "key": f"{key}:{mark}" if mark else key, **options}
    return st.number_input(found.title, found.low, found.high, **options)


def words(text: str) -> list[str]:
    """The parts of a list that somebody wrote with commas."""
    return [part.strip() for part in text.split(",") if part.strip()]
