"""Questions about pictures that people bring, read from a folder or a hub (only the types yet)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from engine.config import Data


@dataclass(frozen=True)
class Row:
    """One usable question; the first answer is what is trained, all count as right.

    ``split`` is ``train``, ``test`` or empty.
    """

    picture: Path
    question: str
    answers: tuple[str, ...]
    client: str = ""
    split: str = ""


@dataclass(frozen=True)
class Problem:
    """Rows that could not be used."""

    kind: str
    count: int
    first: str


@dataclass(frozen=True)
class Collection:
    """All usable rows and what was found out about them."""

    rows: tuple[Row, ...]
    problems: tuple[Problem, ...]
    columns: dict[str, str]
    metric: str
    folder: Path
    digest: str

    @property
    def clients(self) -> dict[str, int]:
        """Rows of each client, commonest first; empty without a client column."""
        return dict(Counter(row.client for row in self.rows if row.client).most_common())


def collect(dataset: str, data: Data) -> Collection:
    """The rows of a dataset. Not on this branch: it is replaced on merge."""
    raise NotImplementedError
