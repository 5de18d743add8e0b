"""All data in one place: what a federation gives up, and no federation at all."""

from collections.abc import Iterable

from flwr.app import ArrayRecord, Message, MetricRecord

from engine.config import ExperimentConfig
from engine.strategies.base import BOTH, LoraStrategy, Phase, require_success
from engine.system.seeding import rng


class Centralized(LoraStrategy):
    """Rule: one adapter is trained on the data of all clients of a round. It breaks privacy.

    It takes as many samples as the clients would together: their steps, with their batches put
    together. Travels: A and B down, to be tested; up, nothing that the lab counts, for the data
    themselves have moved. It runs only where the server can read all data: the ``local`` runtime.
    """

    key = "centralized"
    title = "Centralised (all data in one place)"
    paper = ""
    idea = "One model on everybody's data, a reference only: it breaks what a federation is for."
    shared_factors = BOTH
    variants = ("global",)

    @classmethod
    def phases(cls, config: ExperimentConfig) -> tuple[Phase, ...]:
        """None: clients train nothing, they only test."""
        return ()

    @classmethod
    def sends(cls, name: str, round_: int) -> bool:
        """Nothing."""
        return False

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Train on what the clients hold; every reply gets the loss."""
        from engine.fl.context import context_of
        from engine.fl.flower.client_app import to_arrays, to_factors
        from engine.fl.training import Job, train
        from engine.vlm.encoded import concatenate
        from engine.vlm.limits import MOST_ROWS

        valid = require_success(replies)
        config, context = self.config, context_of(self.config)
        clients = [int(reply.content["metrics"]["partition-id"]) for reply in valid]
        pool = concatenate([context.sets.get(client, "train") for client in clients])
        rows = config.batch_size * len(clients)
        batch = max(config.batch_size, min(rows, MOST_ROWS))
        job = Job(
            context.initial | to_factors(self.sent),
            pool,
            -(-config.local_steps * rows // batch),
            rng(config.seed, "batches", server_round, clients[0]),
        )
        factors, loss = train(
            context.vlm,
            job,
            list(context.vlm.factors),
            batch_size=batch,
            learning_rate=config.learning_rate,
        )
        for reply in valid:
            reply.content["metrics"]["loss"] = loss
        return to_arrays(factors), MetricRecord({"loss": loss})
