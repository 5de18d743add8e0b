"""A config's values as the fields of a form fill them in, each named once by its key."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, get_args

import streamlit as st

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
        """Ask for a number.

        One beyond the limits is answered below its field, and kept for the config to refuse: a
        field with limits of its own would keep the number before, in silence.
        """
        limits = field(key)
        options = {"value": self[key], "key": self._widget(key), **options}
        self[key] = st.number_input(limits.title, **options)
        if not limits.allows(self[key]):
            ends = (limits.low, limits.high)
            low, high = (f"{end:,}" if isinstance(end, int) else f"{end:g}" for end in ends)
            st.markdown(f":red[{limits.title}: from {low} to {high}.]")

    def ask(self, key: str) -> None:
        """Ask for a value as its type wants: one of a few, yes or no, a number, or text."""
        annotation = field(key).annotation
        if values := get_args(annotation):
            self[key] = st.radio(
                field(key).title, values, values.index(self[key]), key=self._widget(key)
            )
        elif annotation is bool:
            self.tick(key)
        elif annotation in (int, float):
            self.number(key, step=1 if annotation is int else 0.05)
        else:
            self.text(key)

    def text(self, key: str, **options: Any) -> None:
        """Ask for a line of text, or for a list with commas."""
        start = self[key]
        is_list = isinstance(start, list | tuple)
        options = {"value": ", ".join(map(str, start)) if is_list else start, **options}
        text = st.text_input(field(key).title, key=self._widget(key), **options).strip()
        parts = [part.strip() for part in text.split(",") if part.strip()]
        self[key] = parts if is_list else text

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
