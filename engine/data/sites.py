"""Data that only the clients have: ``dataset=sites``.

The server sees none of it and needs no file. A client's node says where its own is
(``dataset="folder:PATH"`` in its node config), and all rows of that are the client's; what the
server learns of them are counts.
"""

from __future__ import annotations

from typing import NoReturn

import numpy as np

from engine.config import ConfigError
from engine.data.dataset import ClientProfile, Example, FederatedDataset, Item
from engine.data.resolved import ResolvedData


class SitesDataset(FederatedDataset):
    """The server's view: how many clients there are. Raises ConfigError for all else."""

    def render(self, k: int, split: str, n: int | None = None) -> tuple[Example, ...]:
        """Raise ConfigError: pictures stay with the clients."""
        _refuse()

    def items(self, k: int, split: str) -> list[Item]:
        """Raise ConfigError: questions stay with the clients."""
        _refuse()

    def accepted_by(self, client: int, k: int, split: str, number: int) -> tuple[str, ...]:
        """Raise ConfigError: answers stay with the clients."""
        _refuse()

    def resolve(self) -> ResolvedData:
        """Return what does not change: nothing is known."""
        return ResolvedData(place="", rows=0, pictures="", questions="", answers="")

    def key(self, k: int, split: str) -> str:
        """Raise ConfigError: there is nothing to keep here."""
        _refuse()

    def profile(self, k: int) -> ClientProfile:
        """Raise ConfigError: clients say themselves what they have, when they are asked."""
        _refuse()

    def topics(self, k: int) -> list[str]:
        """Raise ConfigError: answers stay with the clients."""
        _refuse()

    def words(self, k: int) -> dict[str, str]:
        """Return nothing: everybody says what is written."""
        return {}

    def topic_shares(self) -> dict[str, float]:
        """Return nothing: no answer is known here."""
        return {}

    def train_sizes(self) -> np.ndarray:
        """Raise ConfigError: clients say themselves what they have, when they are asked."""
        _refuse()


def _refuse() -> NoReturn:
    raise ConfigError("dataset: the clients' pictures and questions stay with them (dataset=sites)")
