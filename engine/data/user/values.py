"""Cells as text: in a CSV file all is text, in JSON and on the hub it is not."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

_SPLITS = {
    "train": "train", "training": "train",
    "test": "test", "testing": "test",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
}  # fmt: skip


def as_text(value: Any) -> str:
    """Return a value as text without spaces around it; "" for nothing, lists and tables.

    Numbers are written as people do (3, 2.5), true and false as in JSON.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if not math.isfinite(value):
            return ""
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, int):
        return str(value)
    if not isinstance(value, str):
        return ""
    # Half a character (a lone surrogate) can be written in JSON, but not stored as UTF-8.
    return value.replace("\0", "").encode("utf-8", "replace").decode().strip()


def as_answers(value: Any) -> tuple[str, ...]:
    """Return the reference answers in a cell: one, or several of a list; () if it is empty.

    A reference may also be a table with an ``answer``, as in VQAv2. The commonest come first, those
    that are as common in their order; repetitions stay, because a metric counts them.
    """
    listed = value if isinstance(value, list | tuple) else [value]
    texts = [as_text(v.get("answer") if isinstance(v, dict) else v) for v in listed]
    texts = [text for text in texts if text]
    counts = Counter(texts)
    return tuple(sorted(texts, key=lambda text: -counts[text]))


def as_split(value: Any) -> str:
    """``train``, ``test`` or ``validation`` under any of their names; "" for all else."""
    return _SPLITS.get(as_text(value).lower(), "")
