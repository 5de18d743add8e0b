"""From messages to database rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from flwr.app import Message

from db import reads, writes
from db.tables import ClientRound, Evaluation, Prediction, Round
from engine.config import SITES
from engine.data.dataset import ClientProfile
from engine.fl.context import context_of
from engine.fl.evaluation import Score, WrittenAnswer
from engine.fl.flower.ledger import Ledger
from engine.fl.flower.messages import arrays_of, client_of, metric_in, payload_bytes
from engine.fl.flower.records import Trouble, to_rows
from engine.fl.run_config import RunConfig
from engine.metrics import is_right


class Recorder:
    """Writes what one run's messages say."""

    def __init__(self, run: RunConfig, ledger: Ledger) -> None:
        self.run = run
        self.ledger = ledger
        self.experiment = reads.run(run.run).experiment_id
        self._profiled = {client.client for client in reads.clients(self.experiment)}

    def save_round(
        self,
        row: Round,
        messages: list[Message],
        replies: list[Message],
        tested: list[Message],
    ) -> None:
        """Commit a round: its training, and the scores of what came of it.

        Traffic is that of the train messages. What evaluate messages carry is not counted: over a
        network a client would test what it gets with its next train message, not load it twice.
        """
        down = {m.metadata.dst_node_id: payload_bytes(arrays_of(m)) for m in messages}
        clients = [
            ClientRound(
                run_id=self.run.run,
                round=row.round,
                client=client_of(reply),
                samples=int(metric_in(reply, "num-examples")),
                loss=metric_in(reply, "loss"),
                seconds=metric_in(reply, "seconds"),
                bytes_up=payload_bytes(arrays_of(reply)),
                bytes_down=down[reply.metadata.src_node_id],
                drift_a=metric_in(reply, "drift-a"),
                drift_b=metric_in(reply, "drift-b"),
            )
            for reply in replies
        ]
        self._save_profiles(replies)
        scores = [score for r in tested for score in self._evaluations(r, row.round)]
        crossed = self.ledger.take(self.run.run)
        writes.save_round(writes.RoundRecord(row, clients, scores, crossed))

    def save_scores(self, round_: int, replies: list[Message]) -> None:
        """Commit the scores of the state before training, which has no other rows."""
        self._save_profiles(replies)
        writes.save_evaluations(row for r in replies for row in self._evaluations(r, round_))

    def save_final(self, round_: int, replies: list[Message]) -> None:
        """Commit the scores and the answers after the last round."""
        self.save_scores(round_, replies)
        writes.save_predictions(row for r in replies for row in self._predictions(r))

    def save_accounts(self, replies: list[Message]) -> None:
        """Store what clients say of data that only they have, once for an experiment."""
        new = [reply for reply in replies if client_of(reply) not in self._profiled]
        profiles = []
        for reply in new:
            k = client_of(reply)
            train, test, answers = (
                int(metric_in(reply, key)) for key in ("train-samples", "test-samples", "answers")
            )
            profiles.append(ClientProfile(k, "day", {}, train, test, {}, {}))
            troubles = to_rows(Trouble, reply.content.config_records["problems"])
            told = (
                f"Client {k} has {train:,} questions to train on and {test:,} to test on, with "
                f"{answers:,} different answers."
            )
            writes.add_event(self.run.run, " ".join([told, *(f"{t}." for t in troubles)]))
        writes.save_clients(self.experiment, profiles)
        self._profiled |= {client_of(reply) for reply in new}

    def _save_profiles(self, replies: list[Message]) -> None:
        """Store who the clients are when they are first heard of: a thousand at once take long."""
        seen = {client_of(reply) for reply in replies}
        if self.run.config.dataset == SITES:  # they have said so themselves
            return
        dataset = context_of(self.run.config, self.run.resolved).dataset
        if new := sorted(seen - self._profiled):
            writes.save_clients(self.experiment, [dataset.profile(k) for k in new])
        self._profiled |= seen

    def _evaluations(self, reply: Message, after_round: int) -> list[Evaluation]:
        client = client_of(reply)
        scores = to_rows(Score, reply.content.config_records["scores"])
        return [
            Evaluation(run_id=self.run.run, round=after_round, client=client, **asdict(score))
            for score in scores
        ]

    def _predictions(self, reply: Message) -> Iterator[Prediction]:
        client, answers = client_of(reply), reply.content.config_records["answers"]
        if self.run.config.dataset == SITES:  # their answers stay with them
            return
        items = context_of(self.run.config, self.run.resolved).dataset.items(client, "test")
        for answer in to_rows(WrittenAnswer, answers):
            item = items[answer.item]
            yield Prediction(
                run_id=self.run.run,
                client=client,
                variant=answer.variant,
                item=item.item,
                question=item.question,
                reference=item.answer,
                answer=answer.text,
                confidence=answer.confidence,
                correct=is_right(answer.text, item.accepted),
            )
