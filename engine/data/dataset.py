"""The clients' data of an experiment: what every source of data offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

import numpy as np

from engine import plugins
from engine.config import ExperimentConfig
from engine.data.account import Account
from engine.data.resolved import ResolvedData

POOLED_SAMPLES = 64  # of the pooled test set, about the same number from every client


@dataclass(frozen=True)
class Item:
    """One question with its right answer at one client; ``references`` are all that count as right.

    ``family`` is the kind of question.
    """

    item: str
    question: str
    answer: str
    family: str
    references: tuple[str, ...] = ()

    @property
    def accepted(self) -> tuple[str, ...]:
        """Return every answer that counts as right."""
        return self.references or (self.answer,)


@dataclass(frozen=True, kw_only=True)
class Example(Item):
    """An item with its picture."""

    image: np.ndarray  # (height, width, 3) uint8


@dataclass(frozen=True)
class ClientProfile:
    """A client's traits: its name, its camera, its words, the answers it sees."""

    client: int
    camera: str
    words: dict[str, str]
    train_samples: int
    test_samples: int
    answers: dict[str, int]
    families: dict[str, int]
    name: str = ""


class FederatedDataset(ABC):
    """The clients of one experiment; data are made or read on demand."""

    def __init__(self, config: ExperimentConfig) -> None:
        self.config = config
        self._examples = lru_cache(maxsize=8)(self.render)  # up to 10 MB each

    def __len__(self) -> int:
        return self.config.clients

    def examples(self, k: int, split: str, n: int | None = None) -> tuple[Example, ...]:
        """Return client k's ``train`` or ``test`` set, or its first n examples, without the others.

        Raises IndexError outside ``0 … clients-1``.
        """
        return self._examples(k, split, n)

    def example(self, k: int, split: str, number: int) -> Example:
        """Return one example of a set."""
        return self.examples(k, split)[number]

    @abstractmethod
    def render(self, k: int, split: str, n: int | None = None) -> tuple[Example, ...]:
        """Make what ``examples`` returns, not kept."""

    @abstractmethod
    def items(self, k: int, split: str) -> list[Item]:
        """Return what ``examples`` has, without the pictures."""

    @abstractmethod
    def accepted_by(self, client: int, k: int, split: str, number: int) -> tuple[str, ...]:
        """Return what would count as right for one of client k's items if ``client`` had it."""

    @abstractmethod
    def resolve(self) -> ResolvedData:
        """Say what the data are now, to be compared with what they are later."""

    @abstractmethod
    def key(self, k: int, split: str) -> str:
        """Return a name for the content: what is the same under another config has the same key."""

    @abstractmethod
    def profile(self, k: int) -> ClientProfile:
        """Return a summary of client k for tables and previews, without the pictures."""

    @abstractmethod
    def topics(self, k: int) -> list[str]:
        """Return the right answers of client k's training set, in words common to all."""

    @abstractmethod
    def words(self, k: int) -> dict[str, str]:
        """Return what client k says for a topic, where it has words of its own."""

    @abstractmethod
    def topic_shares(self) -> dict[str, float]:
        """Return how often each topic is met, whoever the client is."""

    @abstractmethod
    def train_sizes(self) -> np.ndarray:
        """Count the training samples of every client, (clients,)."""

    def texts(self) -> Iterable[str]:
        """Yield what is asked and answered in all rows; nothing of the world the model is from."""
        return ()

    @property
    def account(self) -> Account:
        """Return how many rows are used, and what is wrong with the rest; empty of drawn data."""
        return Account(0)

    @property
    def stays(self) -> bool:
        """Say whether a client's answers, too, stay with it; else the lab stores and shows them."""
        return False

    @property
    def free_form(self) -> bool:
        """Say whether answers are judged as text; else the reference's tokens decide."""
        return True

    @property
    def pooled_each(self) -> int:
        """Return how many of a client's first test items are in the pooled test set."""
        return max(1, POOLED_SAMPLES // len(self))

    def pooled_test(self) -> tuple[Example, ...]:
        """Return the pooled test set: every client's first test items, about POOLED_SAMPLES."""
        clients, n = range(min(len(self), POOLED_SAMPLES)), self.pooled_each
        return tuple(example for k in clients for example in self.examples(k, "test", n))

    def pooled_items(self) -> list[Item]:
        """Return what ``pooled_test`` has, without the pictures."""
        clients, n = range(min(len(self), POOLED_SAMPLES)), self.pooled_each
        return [item for k in clients for item in self.items(k, "test")[:n]]

    def prefetch(self, keys: Iterable[tuple[int, str]]) -> None:
        """Start to make these sets in the background, where that helps; ``rendered`` fetches them.

        Here it does not: what is read from disk needs no head start.
        """
        return

    def rendered(self, k: int, split: str) -> tuple[Example, ...]:
        """Return a set that was made ahead, or is made now; not kept."""
        return self.render(k, split)

    def is_prefetching(self) -> bool:
        """Say whether the background is at work."""
        return False

    def _check(self, k: int) -> None:
        if not 0 <= k < len(self):
            raise IndexError(f"client {k} does not exist: clients are 0 to {len(self) - 1}")


@lru_cache(maxsize=1)
def code_version() -> str:
    """Return a digest of the code that makes the data: other code, other keys."""
    digest = blake2b(digest_size=16)
    for path in [*sorted(Path(__file__).parent.rglob("*.py")), *plugins.files()]:
        digest.update(path.read_bytes())
    return digest.hexdigest()
