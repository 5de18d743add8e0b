"""Lists that a cell has as text, as pandas, numpy and JSON write them: "['red', 'red']"."""

from __future__ import annotations

import ast
import io
import json
import re
import tokenize
from collections.abc import Iterator
from typing import Any

_LIST = re.compile(r"\s*(array\(\s*)?[\[({]\s*(['\"\[({\])]|None\b|nan\b|null\b)")
_TEXTS = re.compile(r"\s*(array\(\s*)?\[\s*['\"]")  # a list of texts, for certain
_ARRAY = re.compile(r"array\((.*?)(?:,\s*dtype=[\w.<>|'\"]+\s*)?\)", re.DOTALL)
_ANSWERS = {"answer", "answers", "text"}  # keys of a table that is an answer
_LONGEST = 100_000  # characters; a longer cell is text
_WORDS = {"nan": "None", "NaN": "None", "null": "None", "true": "True", "false": "False"}
_BROKEN = (ValueError, SyntaxError, MemoryError, RecursionError, tokenize.TokenError)


class NotUnderstood(ValueError):
    """A value that is there, but of a form that cannot be used; the message names the form."""


def read_out(text: str) -> Any:
    """Return the list or table that a cell has written out, or the text if it is none.

    Lists of numbers alone stay text, as they may be a place in the picture, and so do tables: what
    is to be said may be JSON. Raises NotUnderstood for a list of texts that is not whole.
    """
    if len(text) > _LONGEST or not _LIST.match(text):
        return text
    value = _parse(text)
    if value is None and _TEXTS.match(text):
        raise NotUnderstood("a list that is not whole")
    if isinstance(value, dict):
        return value if _ANSWERS & value.keys() else text
    if not isinstance(value, list | tuple | set | frozenset):
        return text
    kinds = set(_kinds(value))
    if kinds and "text" not in kinds:
        return text
    return sorted(value) if isinstance(value, set | frozenset) else value


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval("".join(_as_python(_ARRAY.sub(r"\1", text).strip())))
    except _BROKEN:
        return None


def _as_python(text: str) -> Iterator[str]:
    """Yield Python's tokens; numpy's commas, which it leaves out, and JSON's words put right."""
    before = ""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in (tokenize.NEWLINE, tokenize.NL, tokenize.INDENT, tokenize.DEDENT):
            continue
        opens = token.type == tokenize.STRING or token.string in ("[", "{", "(")
        ends = before[-1:] in ("'", '"', "]", "}", ")")
        yield ", " if opens and ends else " "
        yield _WORDS.get(token.string, token.string)
        before = token.string


def _kinds(values: Any) -> Iterator[str]:
    """Yield the kind of everything in a list: "text" for texts and answers, or "other"."""
    for value in values:
        if isinstance(value, list | tuple | set | frozenset):
            yield from _kinds(value)
        elif value is not None:
            is_answer = isinstance(value, dict) and bool(_ANSWERS & value.keys())
            yield "text" if isinstance(value, str) or is_answer else "other"
