"""Words, keys and ink of the pages; engine/results/look.py has what reports share with them."""

from __future__ import annotations

import re

import streamlit as st

from engine.data.user.rows import shorten

_MARKS = re.compile(r"([\\`*_\[\]$~<>#:|])")  # what Markdown would take for its own

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


def paper() -> str:
    """Return the colour of the page in the theme that is on."""
    return "#161513" if st.context.theme.type == "dark" else "#FDFCFA"


def capital(words: str) -> str:
    """Return words as they begin a sentence; names in them stay as they are."""
    return words[:1].upper() + words[1:]


def plain(text: str, longest: int = 120) -> str:
    """Escape text from people's data, on one line, so that Markdown shows it as it is."""
    return _MARKS.sub(r"\\\1", shorten(text, longest))
