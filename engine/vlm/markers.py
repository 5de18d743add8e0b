"""Text that a model reads as control: image tokens, ends of turns, Florence's task names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True)
class Markers:
    """What a model reads as control; no torch here.

    control: texts that are no text to its tokenizer or processor; tasks: those of them that may
    stand as a whole question, for the processor to spell out; ends: what ends a generated answer.
    """

    control: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()

    def removed_from(self, question: str) -> str:
        """Return a question without control; a task's name stays if it is the whole question."""
        if question.strip() in self.tasks:
            return question.strip()
        pattern = _pattern(self.control)
        if pattern is None:
            return question
        cleaned, removed = pattern.subn(" ", question)  # a space: no new marker arises
        return " ".join(cleaned.split()) if removed else question

    def first_in(self, answer: str) -> str:
        """Return the first control text in an answer, "" without any."""
        pattern = _pattern((*self.control, *self.ends))
        match = pattern.search(answer) if pattern else None
        return match.group() if match else ""


@lru_cache(maxsize=64)
def _pattern(texts: tuple[str, ...]) -> re.Pattern[str] | None:
    longest_first = sorted(filter(str.strip, texts), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first))) if longest_first else None
