"""A config's values as the fields of a form fill them in, each named once by its key."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import streamlit as st

from app.fields import number, words
from engine.config import field

T = TypeVar("T")


class Form:
    """Fields that start at ``values`` and write into them; titles and limits are the config's.

    ``mark`` is what the start depends on: with another one the fields start anew.
    """

    def __init__(self, values: dict[str, Any], mark: str = "") -> None:
        self.values = values
        self.mark = mark

    def at(self, mark: str) -> Form:
        """Return a form over the same values whose fields start anew with another mark."""
        return Form(self.values, mark)

    def __getitem__(self, key: str) -> Any:
        """Return the value of a dotted key."""
        head, _, tail = key.partition(".")
        return self.values[head][tail] if tail else self.values[head]

    def __setitem__(self, key: str, value: Any) -> None:
        """Put in the value of a dotted key."""
        head, _, tail = key.partition(".")
        if tail:
            self.values[head][tail] = value
        else:
            self.values[head] = value

    def number(self, key: str, **options: Any) -> None:
        """Ask for a number."""
        self[key] = number(key, self.values, self.mark, **options)

    def text(self, key: str, **options: Any) -> None:
        """Ask for a line of text, or for a list with commas."""
        start = self[key]
        is_list = isinstance(start, list | tuple)
        options = {"value": ", ".join(map(str, start)) if is_list else start, **options}
        text = st.text_input(field(key).title, key=self._widget(key), **options).strip()
        self[key] = words(text) if is_list else text

    def tick(self, key: str, **options: Any) -> None:
        """Ask for yes or no."""
        self[key] = st.checkbox(field(key).title, self[key], key=self._widget(key), **options)

    def choose(
        self,
        key: str,
        allowed: Sequence[T],
        name: Callable[[T], str] = str,
        **options: Any,
    ) -> None:
        """Ask for one of the allowed values."""
        self[key] = st.selectbox(
            field(key).title,
            allowed,
            allowed.index(self[key]),
            format_func=name,
            key=self._widget(key),
            **options,
        )

    def pick(
        self, key: str, allowed: Sequence[T], name: Callable[[T], str], **options: Any
    ) -> None:
        """Ask for one of a few values that all stay in sight."""
        self[key] = st.segmented_control(
            field(key).title,
            allowed,
            default=self[key],
            required=True,
            format_func=name,
            key=self._widget(key),
            **options,
        )

    def pick_many(self, key: str, allowed: Sequence[str], **options: Any) -> None:
        """Ask for any number of the allowed values."""
        self[key] = st.pills(
            field(key).title,
            allowed,
            selection_mode="multi",
            default=self[key],
            key=self._widget(key),
            **options,
        )

    def slide(self, key: str, step: float, **options: Any) -> None:
        """Ask for a number between the key's limits with a slider."""
        limits = field(key)
        self[key] = st.slider(
            field(key).title,
            limits.low,
            limits.high,
            self[key],
            step,
            key=self._widget(key),
            **options,
        )

    def slide_over(self, key: str, allowed: Sequence[int]) -> None:
        """Ask for one of the allowed numbers with a slider."""
        self[key] = st.select_slider(field(key).title, allowed, self[key], key=self._widget(key))

    def _widget(self, key: str) -> str:
        return f"{key}:{self.mark}" if self.mark else key
