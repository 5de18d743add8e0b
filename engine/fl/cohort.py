"""Some clients of one run in one round, each with the shared factors that it was sent.

A cohort of one is a client alone: every runtime uses them, the ``local`` one with all the clients
that a round has sampled. The cohorts of several runs work in the same passes over the model:
engine/fl/cohort_training.py and engine/fl/cohort_evaluation.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from engine.fl.client import Client
from engine.vlm.encoded import EncodedBatch
from engine.vlm.lora import Factors


class Cohort:
    """Some clients of one run, in a round of it (or after it, when they are tested).

    The clients of a group were sent the same shared factors; ``groups`` has a number for every
    client, ``shared`` the factors by number.
    """

    def __init__(
        self,
        clients: Sequence[Client],
        groups: Sequence[int],
        shared: Mapping[int, Factors],
        round_: int,
    ) -> None:
        self.clients = clients
        self.round = round_
        self.run = clients[0].run
        self.context = clients[0].context
        self.variants = ("base", *self.run.strategy.variants)
        self.shared = shared
        self._group = {client.number: n for client, n in zip(clients, groups, strict=True)}

    def group(self, client: Client) -> int:
        """Return the number of the client's group."""
        return self._group[client.number]

    def sent(self, client: Client) -> Factors:
        """Return the shared factors that the client was sent."""
        return self.shared[self._group[client.number]]

    def tests(self, client: Client) -> EncodedBatch:
        """Return the client's own test set."""
        return self.context.sets.get(client.number, "test")

    def with_one_model(self, variant: str, clients: Iterable[Client]) -> list[list[Client]]:
        """Group clients by model: for ``base`` and ``global`` it is the same for many."""
        if variant == "personal":
            return [[client] for client in clients]
        models: dict[int, list[Client]] = {}
        for client in clients:
            models.setdefault(self.group(client) if variant == "global" else 0, []).append(client)
        return list(models.values())


def make_ready(cohorts: Sequence[Cohort], split: str) -> None:
    """Make the sets that cohorts of one experiment will need."""
    numbers = dict.fromkeys(client.number for cohort in cohorts for client in cohort.clients)
    for _ in cohorts[0].context.sets.make_ready([(number, split) for number in numbers]):
        pass
