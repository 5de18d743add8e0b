"""One usable question about a picture."""

from __future__ import annotations

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
    size: tuple[int, int] = (0, 0)  # height and width of the picture, upright
    where: str = ""  # table and line, for messages

    @property
    def picture_key(self) -> str:
        """Return what is the same for the same picture, under whatever name."""
        return self.content or str(self.picture)


def shorten(text: str, longest: int = 120) -> str:
    """Cut to a line of at most so many characters: what a message quotes may be of any length."""
    text = " ".join(text.split())
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
