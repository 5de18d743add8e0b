"""A strategy as Flower runs it: the messages of a round, and the rule applied to the replies.

Written over Flower's Message API. What is averaged how is the rule's (engine/strategies); who takes
part is the experiment's (engine/fl/participation.py).
"""

from __future__ import annotations

import time
from collections.abc import Iterable

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy as FlowerStrategy

from engine.adapters.adapter import A, Adapter, B
from engine.config import ExperimentConfig
from engine.fl import privacy
from engine.fl.flower.messages import (
    arrays_of,
    client_of,
    require_success,
    to_numpy,
    to_record,
    weights_of,
)
from engine.fl.participation import participants, sampled, tested
from engine.fl.pooled_training import train_pooled
from engine.fl.resolved import Resolved
from engine.strategies import Strategy
from engine.strategies.base import Arrays
from engine.system.faults import require_number


class LoraStrategy(FlowerStrategy):
    """The server's side of one run: a rule, its experiment, and the clients' nodes."""

    def __init__(
        self,
        rule: Strategy,
        config: ExperimentConfig,
        nodes: dict[int, int],
        resolved: Resolved | None = None,
    ) -> None:
        """``nodes`` maps the client number (partition) to Flower's node id."""
        self.rule = rule
        self.config = config
        self.resolved = resolved
        self.nodes = nodes
        self.sent = ArrayRecord()

    def dropped_out(self, server_round: int) -> int:
        """Return how many of the clients that a round asks do not take part."""
        asked = sampled(self.config, server_round)
        return len(asked) - len(participants(self.config, server_round))

    def epsilon(self, server_round: int) -> float | None:
        """Return the privacy that is spent after a round, by the client that sent most often."""
        return privacy.spent(self.config, server_round) if privacy.spends(self.rule) else None

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return one train message to every participant, with the shared factors."""
        self.sent = arrays
        chosen = participants(self.config, server_round)
        return self._messages("train", chosen, server_round, arrays, config)

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return one evaluate message to every client that is tested, with the shared factors.

        Those are the clients that took part in the round, before the first one those that will;
        where ``answers`` are wanted, after the last round, ``tested``.
        """
        round_ = max(server_round, 1)
        chosen = tested(self.config) if config["answers"] else participants(self.config, round_)
        return self._messages("evaluate", chosen, server_round, arrays, config)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord, MetricRecord | None]:
        """Return what the server sends next; figures are stored per client, not as one mean."""
        valid = require_success(replies)
        if self.rule.server_trains:
            return self._train_here(server_round, valid), None
        sent = [to_numpy(arrays_of(reply)) for reply in valid]
        before, lora = to_numpy(self.sent), self.config.lora
        merged = self.rule.merge(sent, weights_of(valid), before, lora.scale, lora.rank)
        # What clients send is looked at, too: a robust average would leave out what is no number.
        largest = float(np.max([_largest(arrays) for arrays in (*sent, merged)]))
        require_number(largest, "the mean of the factors", server_round)
        return to_record(merged), None

    def aggregate_evaluate(
        self, server_round: int, replies: Iterable[Message]
    ) -> MetricRecord | None:
        """Check the replies; figures are stored per client, not as one mean."""
        require_success(replies)
        return None

    def summary(self) -> None:
        """Log nothing: the run's row in the database says it all."""

    def _train_here(self, server_round: int, replies: list[Message]) -> ArrayRecord:
        """Train on what the clients hold; every reply gets the loss and a share of the time."""
        start = time.perf_counter()
        clients = [client_of(reply) for reply in replies]
        before = Adapter(self.sent.to_torch_state_dict())
        factors, loss = train_pooled(self.config, self.resolved, clients, before, server_round)
        seconds = (time.perf_counter() - start) / len(replies)
        for reply in replies:
            metrics = reply.content.metric_records["metrics"]
            metrics["loss"], metrics["seconds"] = loss, seconds
        return to_record({name: value.numpy() for name, value in factors.items()})

    def _messages(
        self,
        message_type: str,
        clients: list[int],
        server_round: int,
        arrays: ArrayRecord,
        config: ConfigRecord,
    ) -> list[Message]:
        # What is sent is the same for all clients of a group: those of one rank, where it matters.
        lora = self.config.lora
        uncut = not Adapter(arrays).only(A, B)
        groups = {k: self.rule.rank(lora.rank, lora.rank_of(k)) for k in clients}
        groups = dict.fromkeys(groups, lora.rank) if uncut else groups
        content = {
            group: RecordDict(
                {
                    "arrays": arrays if group == lora.rank else _cut(arrays, group),
                    "config": ConfigRecord(
                        {**config, "server-round": server_round, "group": group}
                    ),
                }
            )
            for group in set(groups.values())
        }
        return [
            Message(content[groups[k]], message_type=message_type, dst_node_id=self.nodes[k])
            for k in clients
        ]


def _largest(arrays: Arrays) -> float:
    """Return the largest magnitude, or NaN where there is one: ``max`` of Python may miss it."""
    return float(np.max([np.abs(value).max() for value in arrays.values()], initial=0.0))


def _cut(arrays: ArrayRecord, rank: int) -> ArrayRecord:
    """Return what a client of this rank is sent."""
    return to_record(to_numpy(arrays).cut(rank))
