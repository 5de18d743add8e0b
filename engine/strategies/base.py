"""What all strategies share: who takes part, what travels, and the weighted mean of it.

Written over Flower's Message API: a strategy builds the messages of a round and aggregates the
replies. What a client does in a round is said by the class: which factors it sends and keeps, and
the phases in which it trains them (engine/fl/client.py follows them).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from engine.adapters.factors import DELTA, A, B, cut, factor_of
from engine.config import ExperimentConfig
from engine.fl import privacy
from engine.system.seeding import rng


class ClientFailed(RuntimeError):
    """A client answered with an error, or not at all."""


@dataclass(frozen=True)
class Phase:
    """One training of a client in a round; most strategies have just one.

    own: start from what the client keeps, on top of what it was sent (else only from the latter);
    sends, keeps: what becomes of the result; pull: weight λ of λ/2·‖θ − θ_sent‖² in the loss;
    beside: above 0 the received adapter stays in place, frozen, and a second one is trained beside
    it, which counts with this weight, the received one with the rest.
    """

    start_from_personal: bool = True
    uploads: bool = True
    persists: bool = True
    prox_mu: float = 0.0
    mix_weight: float = 0.0


class LoraStrategy(Strategy):
    """Base of all strategies.

    key, title, paper, idea: for people; ``shared_factors`` and
    ``personal_factors`` say which LoRA factors travel and
    which stay on the client; ``variants`` which models there are to evaluate beside the base;
    ``trained`` is false where there are no rounds at all; ``two_adapters`` is true where a client
    keeps a whole second adapter; ``mixed_ranks`` is true where ``lora.client_ranks`` says each
    client's rank, while α / rank of the server's adapter scales them all.
    """

    key: ClassVar[str]
    title: ClassVar[str]
    paper: ClassVar[str]
    idea: ClassVar[str]
    shared_factors: ClassVar[frozenset[str]] = frozenset()
    personal_factors: ClassVar[frozenset[str]] = frozenset()
    variants: ClassVar[tuple[str, ...]] = ()
    trained: ClassVar[bool] = True
    two_adapters: ClassVar[bool] = False
    mixed_ranks: ClassVar[bool] = False

    def __init__(self, config: ExperimentConfig, nodes: dict[int, int]) -> None:
        """``nodes`` maps the client number (partition) to Flower's node id."""
        self.config = config
        self.nodes = nodes
        self.sent = ArrayRecord()
        self._took_part: list[list[int]] = []  # clients by round

    @classmethod
    def phases(cls, config: ExperimentConfig) -> tuple[Phase, ...]:
        """What a client trains in a round, one after another."""
        return (Phase(),)

    @classmethod
    def deployed_variant(cls) -> str:
        """The variant that a client would use: its own, else the global one, else the base."""
        return next((v for v in ("personal", "global") if v in cls.variants), "base")

    @classmethod
    def is_shared(cls, name: str) -> bool:
        """Whether the factor of this name is sent to the server and averaged."""
        return factor_of(name) in cls.shared_factors

    @classmethod
    def is_personal(cls, name: str) -> bool:
        """Whether the factor of this name is the client's own and kept from round to round."""
        return factor_of(name) in cls.personal_factors

    @classmethod
    def is_trained(cls, name: str) -> bool:
        """Whether clients ever train the factor of this name."""
        return cls.is_shared(name) or cls.is_personal(name)

    @classmethod
    def trains(cls, name: str, round_: int) -> bool:
        """Whether clients train the factor of this name in a round."""
        return cls.is_trained(name)

    @classmethod
    def sends(cls, name: str, round_: int) -> bool:
        """Whether clients send the factor of this name after training in a round."""
        return cls.is_shared(name) and cls.trains(name, round_)

    @classmethod
    def rank(cls, config: ExperimentConfig, client: int) -> int:
        """The rank of a client's adapter."""
        return config.lora.rank_of(client) if cls.mixed_ranks else config.lora.rank

    def sampled(self, server_round: int) -> list[int]:
        """The clients that a round asks, drawn from the seed; at least one."""
        everyone = sorted(self.nodes)
        drawn = rng(self.config.seed, "participation", server_round)
        return sorted(drawn.choice(everyone, self.config.clients_per_round, replace=False).tolist())

    def participants(self, server_round: int) -> list[int]:
        """The sampled clients without those that drop out, drawn from the seed; at least one."""
        sampled = self.sampled(server_round)
        if not self.config.dropout:
            return sampled
        luck = {k: rng(self.config.seed, "dropout", server_round, k).random() for k in sampled}
        stay = [k for k in sampled if luck[k] >= self.config.dropout]
        return stay or [max(sampled, key=luck.__getitem__)]

    def epsilon(self, server_round: int) -> float | None:
        """The privacy that a client has spent after a round, of the one that sent most often."""
        if not self.config.privacy.noise or not self.shared_factors or not self.phases(self.config):
            return None
        drawn = range(len(self._took_part) + 1, server_round + 1)  # each round is drawn once
        self._took_part += [self.participants(round_) for round_ in drawn]
        times = privacy.most_messages(self._took_part[:server_round])
        return privacy.epsilon(self.config.privacy, times)

    def tested(self) -> list[int]:
        """The clients that are tested after the last round: all, or a draw from the seed."""
        drawn = rng(self.config.seed, "tested")
        some = drawn.choice(sorted(self.nodes), self.config.clients_tested, replace=False)
        return sorted(some.tolist())

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """One train message to every participant, with the shared factors."""
        self.sent = arrays
        chosen = self.participants(server_round)
        return self._messages("train", chosen, server_round, arrays, config)

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """One evaluate message to every client that is tested, with the shared factors.

        Those are the clients that took part in the round, before the first one those that will;
        where ``answers`` are wanted, after the last round, ``tested``.
        """
        chosen = self.tested() if config["answers"] else self.participants(max(server_round, 1))
        return self._messages("evaluate", chosen, server_round, arrays, config)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """What the server knows after a round, and the clients' mean loss."""
        valid = require_success(replies)
        weights = weights_of(valid)
        losses = [reply.content["metrics"]["loss"] for reply in valid]
        merged = self.merge([to_numpy(reply.content["arrays"]) for reply in valid], weights)
        arrays = ArrayRecord({name: Array(value) for name, value in merged.items()})
        return arrays, MetricRecord({"loss": float(np.dot(weights, losses))})

    def merge(self, sent: list[Arrays], weights: np.ndarray) -> Arrays:
        """The rule: the mean of what was sent, θ̄ = Σ p_k θ_k; what nobody sent stays as it was."""
        return to_numpy(self.sent) | weighted_mean(sent, weights)

    def aggregate_evaluate(
        self, server_round: int, replies: Iterable[Message]
    ) -> MetricRecord | None:
        """Only checks the replies: the figures are stored per client, not as one mean."""
        require_success(replies)
        return None

    def summary(self) -> None:
        """Nothing to log: the run's row in the database says it all."""

    def _messages(
        self,
        message_type: str,
        clients: list[int],
        server_round: int,
        arrays: ArrayRecord,
        config: ConfigRecord,
    ) -> list[Message]:
        config = ConfigRecord({**config, "server-round": server_round})
        # One record for all clients of a rank: they are told apart, and trained, by its identity.
        ranks = {client: self.rank(self.config, client) for client in clients}
        content = {
            rank: RecordDict({"arrays": self._for_rank(arrays, rank), "config": config})
            for rank in set(ranks.values())
        }
        return [
            Message(content[ranks[k]], message_type=message_type, dst_node_id=self.nodes[k])
            for k in clients
        ]

    def _for_rank(self, arrays: ArrayRecord, rank: int) -> ArrayRecord:
        """What a client of this rank is sent."""
        if rank == self.config.lora.rank or all(factor_of(name) == DELTA for name in arrays):
            return arrays
        cut_ = cut(to_numpy(arrays), rank)
        return ArrayRecord({name: Array(np.ascontiguousarray(v)) for name, v in cut_.items()})


Arrays = dict[str, np.ndarray]


def weights_of(replies: list[Message]) -> np.ndarray:
    """p_k = n_k / Σ n of clients that replied."""
    samples = np.array([reply.content["metrics"]["num-examples"] for reply in replies], float)
    return samples / samples.sum()


def require_success(replies: Iterable[Message]) -> list[Message]:
    """The replies in order of client; raises ClientFailed with the reason when one is an error."""
    replies = list(replies)
    for reply in replies:
        if reply.has_error():
            raise ClientFailed(reply.error.reason or "a client failed without giving a reason")
    if not replies:
        raise ClientFailed("no client answered")
    return sorted(replies, key=lambda reply: reply.content["metrics"]["partition-id"])


def to_numpy(record: ArrayRecord) -> Arrays:
    """A record's arrays."""
    return {name: array.numpy() for name, array in record.items()}


def weighted_mean(sent: list[Arrays], weights: np.ndarray) -> Arrays:
    """Σ weight · arrays over clients with the same keys, as a running sum in float64."""
    total: Arrays = {}
    for arrays, weight in zip(sent, weights, strict=True):
        for name, values in arrays.items():
            total[name] = total.get(name, 0) + weight * values.astype(np.float64)
    return {name: value.astype(sent[0][name].dtype) for name, value in total.items()}


def payload_bytes(record: ArrayRecord) -> int:
    """Bytes of the numbers in a record, without headers."""
    return sum(
        int(np.prod(array.shape)) * np.dtype(array.dtype).itemsize for array in record.values()
    )


BOTH = frozenset({A, B})
