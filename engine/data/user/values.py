"""Cells as text: in a CSV file all is text, in JSON and on the hub it is not.

Answers come in the forms that data sets use: one text, several references (a list), tables with an
``answer`` (VQAv2) or a ``text`` (SQuAD), pairs or tables with a weight between 0 and 1 (soft
labels), and any of these written out in a cell, as pandas and numpy do. Whatever else is there is
not empty: it is named as not understood.
"""

from __future__ import annotations

import datetime
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from engine.data.user.rows import shorten
from engine.data.user.written_out import NotUnderstood, read_out

_SPLITS = {
    "train": "train", "training": "train",
    "test": "test", "testing": "test",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
}  # fmt: skip
_ANSWER_KEYS = ("answer", "answers", "text", "value")  # of tables; the likeliest first
_WEIGHT = "weight"
_NAME_KEYS = ("file_name", "path", "image", "filename", "name")
_SCALARS = (str, bool, int, float, Decimal, datetime.date, datetime.time)


def as_text(value: Any) -> str:
    """Return a value as text without spaces around it; "" for nothing.

    Numbers are written as people do (3, 2.5), true and false as in JSON; a list of one is what is
    in it. Raises NotUnderstood for longer lists, tables and bytes.
    """
    if isinstance(value, list | tuple) and len(value) <= 1:
        return as_text(value[0]) if value else ""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if not isinstance(value, _SCALARS):
        raise NotUnderstood(_form(value))
    return _scalar(value)


def as_answers(value: Any) -> tuple[str, ...]:
    """Return the reference answers in a cell: one, or several of a list; () if it is empty.

    The weightiest come first, then the commonest, those that are as common in their order;
    repetitions stay, because a metric counts them. Raises NotUnderstood.
    """
    if isinstance(value, str):
        value = read_out(value)
    if _is_numbers(value):
        raise NotUnderstood(f"a list of {len(value)} numbers")
    weighted = list(_answers(value))
    counts = Counter(text for text, _ in weighted)
    ranked = sorted(weighted, key=lambda answer: (-answer[1], -counts[answer[0]]))
    return tuple(text for text, _ in ranked)


def as_name(value: Any) -> str:
    """Return the name of the one picture in a cell; "" for none. Raises NotUnderstood."""
    value = read_out(value) if isinstance(value, str) else value
    if isinstance(value, Mapping):
        return as_name(next((value[key] for key in _NAME_KEYS if value.get(key)), None))
    if not isinstance(value, list | tuple):
        return as_text(value)
    if len(value) > 1:
        raise NotUnderstood(f"{len(value)} pictures in one row")
    return as_name(value[0]) if value else ""


def as_split(text: str) -> str:
    """Return ``train``, ``test`` or ``validation`` under any of their names; "" for all else."""
    return _SPLITS.get(text.lower(), "")


def _answers(value: Any) -> Iterator[tuple[str, float]]:
    """Yield answers with their weights, 1 where none is given."""
    if isinstance(value, Mapping):
        yield from _of_table(value)
    elif isinstance(value, list | tuple):
        if value and all(map(_is_pair, value)):
            value = [{"text": text, _WEIGHT: weight} for text, weight in value]
        for part in value:
            yield from _answers(part)
    elif text := as_text(value):
        yield text, 1.0


def _of_table(table: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    said = {key: value for key, value in table.items() if value is not None}
    key = next((key for key in _ANSWER_KEYS if key in said), None)
    if key is not None:
        for text, weight in _answers(said[key]):
            yield text, weight * said.get(_WEIGHT, 1.0)
    elif said and all(_is_weight(value) and value <= 1 for value in said.values()):
        yield from ((text, weight) for text, weight in said.items() if weight > 0)
    elif said:
        raise NotUnderstood(f"a table of {shorten(', '.join(map(str, said)), 60)}")


def _is_numbers(value: Any) -> bool:
    """Say whether a list has numbers, all different: a place in the picture, not references."""
    listed = isinstance(value, list | tuple) and len(value) > 1
    if not listed or any(isinstance(v, bool) or not isinstance(v, int | float) for v in value):
        return False
    return len(set(value)) == len(value)


def _is_pair(value: Any) -> bool:
    """Say whether a value is an answer with its weight or count."""
    two = isinstance(value, list | tuple) and len(value) == 2
    return two and isinstance(value[0], str) and _is_weight(value[1])


def _is_weight(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if not isinstance(value, str):
        return value.isoformat() if hasattr(value, "isoformat") else str(value)
    # Half a character (a lone surrogate) can be written in JSON, but not stored as UTF-8.
    return value.replace("\0", "").encode("utf-8", "replace").decode().strip()


def _form(value: Any) -> str:
    """Name the form of a value that is no text."""
    if isinstance(value, Mapping):
        return f"a table of {shorten(', '.join(map(str, value)), 60)}"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    return f"of the type {type(value).__name__}"
