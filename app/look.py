"""One colour and one dash per variant, on every page and chart (Okabe–Ito palette)."""

from __future__ import annotations

import re
from dataclasses import dataclass

import streamlit as st

from engine.data.user.rows import shorten

_MARKS = re.compile(r"([\\`*_\[\]$~<>#:|])")  # what Markdown would take for its own


@dataclass(frozen=True)
class Style:
    """A variant's name and the line in which it is drawn."""

    label: str
    colour: str
    dash: str


STYLES = {
    "base": Style("Base", "#7F7F7F", "dot"),
    "global": Style("Global (one for all)", "#0072B2", "dash"),
    "personal": Style("Personalised (one each)", "#D55E00", "solid"),
    "local": Style("Alone (no federation)", "#009E73", "dashdot"),
}

# Keyboard shortcuts of the pages' buttons, the same everywhere.
KEYS = {"run": "Ctrl+Enter", "pause": "P", "step": "O", "go on": "G", "stop": "S"}
KEYS |= {"next": "N", "previous": "B"}  # of Ask's items

STATUS_WORDS = {
    "queued": "waiting in the queue",
    "running": "running",
    "paused": "paused after its round",
    "done": "done",
    "stopped": "stopped on request",
    "failed": "failed",
    "interrupted": "interrupted: its worker is gone",
}


def ink() -> str:
    """Return the colour of letters in the theme that is on."""
    return "#ECE9E2" if st.context.theme.type == "dark" else "#23211E"


def faint(colour: str) -> str:
    """Return a colour as light as the area behind a line."""
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red},{green},{blue},.13)"


def percent(value: float | None) -> str:
    """Write an accuracy as people read it."""
    return "–" if value is None else f"{value:.0%}"


def certainty(probability: float) -> str:
    """Say how sure a model is; of a long answer seldom more than a little."""
    return f"{percent(probability)} sure" if probability >= 0.01 else "less than 1% sure"


def duration(seconds: float) -> str:
    """Write a time span in one or two units."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    minutes, rest = divmod(seconds, 60)
    return (
        f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
    )


def size(bytes_: float) -> str:
    """Write bytes in kB, MB or GB."""
    if bytes_ >= 1e9:
        return f"{bytes_ / 1e9:.1f} GB"
    return f"{bytes_ / 1e6:.1f} MB" if bytes_ >= 1e6 else f"{bytes_ / 1e3:.0f} kB"


def plain(text: str, longest: int = 120) -> str:
    """Escape text from people's data, on one line, so that Markdown shows it as it is."""
    return _MARKS.sub(r"\\\1", shorten(text, longest))


def client_name(number: int, name: str = "") -> str:
    """Name a client as people read it: its number and, where the data have one, its name."""
    return f"Client {number} · {shorten(name, 40)}" if name else f"Client {number}"
