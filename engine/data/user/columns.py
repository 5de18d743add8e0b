"""The columns of picture, question, answer and client: said, or guessed by name."""

from __future__ import annotations

from collections.abc import Sequence

from engine.config import ConfigError, Data
from engine.data.user.rows import shorten

NAMES = {  # the likeliest first
    "image": ("file_name", "image", "img", "picture", "photo", "image_path", "img_path",
              "image_file", "filename", "file", "path", "images", "file_names"),
    "question": ("question", "prompt", "query", "instruction"),
    "answer": ("answer", "answers", "multiple_choice_answer", "label", "chosen", "response",
               "caption"),
    "client": ("client", "client_id", "site", "hospital", "origin_dataset", "source", "user",
               "user_id"),
}  # fmt: skip
_WORDS = {"image": "picture", "question": "question", "answer": "answer"}
_LISTED = 30  # columns that a message names


def choose(columns: Sequence[str], data: Data) -> dict[str, str]:
    """Return the columns to use as image, question, answer and, if there is one, client.

    Raises ConfigError with the columns there are: when ``data`` names one that is absent, or when
    none has a name to guess by.
    """
    chosen = guess(columns)
    for role in NAMES:
        said = getattr(data, role)
        if said and said not in columns:
            raise ConfigError(f"data.{role}: there is no column '{said}'; {_there_are(columns)}")
        if said:
            chosen[role] = said
    missing = [role for role in _WORDS if role not in chosen]
    if missing:
        words = " or ".join(f"the {_WORDS[role]}" for role in missing)
        keys = ", ".join(f"data.{role}" for role in missing)
        raise ConfigError(
            f"dataset: no column looks like {words} (say which in {keys}); {_there_are(columns)}"
        )
    return chosen


def guess(columns: Sequence[str]) -> dict[str, str]:
    """Return the columns whose names say what they hold, by role; the likeliest of several."""
    by_name = {column.strip().lower().replace(" ", "_"): column for column in reversed(columns)}
    likely = {
        role: next((by_name[name] for name in names if name in by_name), "")
        for role, names in NAMES.items()
    }
    return {role: column for role, column in likely.items() if column}


def _there_are(columns: Sequence[str]) -> str:
    more = f" and {len(columns) - _LISTED} more" if len(columns) > _LISTED else ""
    return f"there are: {', '.join(map(shorten, columns[:_LISTED]))}{more}"
