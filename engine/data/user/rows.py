"""One usable question, and the account of what could not be used."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Row:
    """One usable question about a picture."""

    picture: Path  # absolute
    question: str
    answers: tuple[str, ...]  # at least one; the first is what is trained
    client: str = ""  # value of the client column
    split: str = ""  # "train", "test" or "" (not given)
    content: str = ""  # a digest of the picture's file

    @property
    def picture_key(self) -> str:
        """Return what is the same for the same picture, under whatever name."""
        return self.content or str(self.picture)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with the data: what, how often, and the first example by name."""

    kind: str
    count: int
    first: str

    def __str__(self) -> str:
        return f"{self.kind} ({self.count}; first: {self.first})"


def shorten(text: str, longest: int = 120) -> str:
    """Cut to a line of at most so many characters: what a message quotes may be of any length."""
    text = " ".join(text.split())
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


class Problems:
    """Counts problems by kind while data are read."""

    def __init__(self, known: Iterable[Problem] = ()) -> None:
        self._found = {problem.kind: problem for problem in known}

    def add(self, kind: str, example: str, count: int = 1) -> None:
        """Count a problem; the first example of a kind is the one that is kept."""
        before = self._found.get(kind, Problem(kind, 0, example))
        self._found[kind] = Problem(kind, before.count + count, before.first)

    def counted(self) -> tuple[Problem, ...]:
        """All problems, the commonest first."""
        return tuple(sorted(self._found.values(), key=lambda problem: -problem.count))
