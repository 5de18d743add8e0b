"""A config's values as the fields of a form fill them in, each named once by its key."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import floor, log10
from typing import Any, Literal, TypeVar, get_args, get_origin

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from engine.config import ConfigError, field

T = TypeVar("T")


_SESSION: dict[str, Any] = {"persist_state": "session"}  # kept when people go to another page


class Form:
    """Fields that start at ``values`` and write into them; titles and limits are the config's.

    ``mark`` is what the start depends on: with another one the fields start anew. ``asked`` holds
    the keys that have a field, each with the place below it where a mistake is told, and ``told``
    those where it has been.
    """

    def __init__(self, values: dict[str, Any], mark: str = "") -> None:
        self.values = values
        self.mark = mark
        self.asked: dict[str, DeltaGenerator] = {}
        self.told: set[str] = set()

    def at(self, mark: str) -> Form:
        """Return a form over the same values whose fields start anew with another mark."""
        form = Form(self.values, mark)
        form.asked, form.told = self.asked, self.told
        return form

    def tell(self, mistake: ConfigError) -> None:
        """Show a config's mistake below the field that it is about, if there is one."""
        key, _, words = str(mistake).partition(": ")
        if key in self.asked and key not in self.told:
            self.asked[key].markdown(f":red[{field(key).title}: {words}]")

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
        self[key] = st.number_input(
            limits.title, **{"value": self[key], **self.widget(key), **options}
        )
        below = self.below(key)
        if self[key] is None or not limits.allows(self[key]):
            below.markdown(f":red[{limits.title}: {limits.allowed}.]")
            self.told.add(key)

    def ask(self, key: str, **options: Any) -> None:
        """Ask for a value as its type wants: one of a few, yes or no, a number, or text."""
        annotation = field(key).annotation
        if get_origin(annotation) is Literal:
            self.choose(key, get_args(annotation), **options)
        elif annotation is bool:
            self.tick(key, **options)
        elif annotation is int:
            self.number(key, **options)
        elif annotation is float:
            self.number(key, **{"step": _step(self[key]), "format": "%g", **options})
        else:
            self.text(key, **options)

    def text(self, key: str, **options: Any) -> None:
        """Ask for a line of text, or for a list with commas."""
        start = self[key]
        is_list = isinstance(start, list | tuple)
        options = {"value": ", ".join(map(str, start)) if is_list else start, **options}
        text = st.text_input(field(key).title, **self.widget(key), **options).strip()
        parts = [part.strip() for part in text.split(",") if part.strip()]
        self[key] = parts if is_list else text
        self.below(key)

    def tick(self, key: str, **options: Any) -> None:
        """Ask for yes or no."""
        self[key] = st.checkbox(field(key).title, self[key], **self.widget(key), **options)
        self.below(key)

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
            **self.widget(key) | options,
        )
        self.below(key)

    def pick(
        self, key: str, allowed: Sequence[T], name: Callable[[T], str], **options: Any
    ) -> None:
        """Ask for one of a few values that all stay in sight."""
        self[key] = st.segmented_control(
            field(key).title,
            allowed,
            default=self[key] if self[key] in allowed else allowed[0],
            required=True,
            format_func=name,
            **self.widget(key),
            **options,
        )
        self.below(key)

    def tick_many(
        self, key: str, groups: Mapping[str, Mapping[str, tuple[str, str]]], **options: Any
    ) -> None:
        """Ask for any number of values in groups: by group and value its label and explanation."""
        start, ticked = self[key], []
        st.markdown(f"**{field(key).title}**", **options)
        for group, members in groups.items():
            st.caption(group)
            with st.container(horizontal=True, gap="small"):
                for value, (label, explanation) in members.items():
                    widget = self.widget(f"{key}.{value}")
                    if st.checkbox(label, value in start, help=explanation, **widget):
                        ticked.append(value)
        self[key] = tuple(ticked)
        self.below(key)

    def slide(self, key: str, step: float, **options: Any) -> None:
        """Ask for a number between the key's limits with a slider."""
        limits = field(key)
        self[key] = st.slider(
            field(key).title,
            limits.low,
            limits.high,
            self[key],
            step,
            **self.widget(key),
            **options,
        )
        self.below(key)

    def slide_over(self, key: str, allowed: Sequence[int], **options: Any) -> None:
        """Ask with a slider for one of some numbers, to which that of the start belongs."""
        steps = sorted({*allowed, self[key]})
        self[key] = st.select_slider(
            field(key).title, steps, self[key], **self.widget(key), **options
        )
        self.below(key)

    def widget(self, key: str) -> dict[str, Any]:
        """Return what makes a field's state its own, kept from page to page."""
        return {"key": f"{key}:{self.mark}" if self.mark else key, **_SESSION}

    def below(self, key: str) -> DeltaGenerator:
        """Make the place below a field, where its mistakes are told."""
        self.asked[key] = st.empty()
        return self.asked[key]


def _step(value: float) -> float:
    """Return by how much a number's buttons change it: a tenth of its power of ten."""
    return 10.0 ** (floor(log10(value)) - 1) if value else 0.1
