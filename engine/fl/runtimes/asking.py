"""Questions to clients of runs that may be over, on whatever runtime answers."""

from __future__ import annotations

from collections.abc import Sequence

from flwr.app import Message

from db import writes
from engine.fl.flower import client_app
from engine.fl.flower.asking import ASK, Question
from engine.fl.flower.ledger import Ledger
from engine.fl.flower.messages import ClientFailed
from engine.fl.runtimes import local
from engine.fl.runtimes.local_grid import LocalGrid
from engine.fl.runtimes.meeting import Answer, Exchange


def ask(questions: Sequence[Question], answer: Answer = local.answer) -> list[Message]:
    """Return the clients' replies; what crosses is counted. Raises ClientFailed.

    ``answer`` has the clients of runs of one experiment answer: here, or behind one of Flower's own
    engines.
    """
    runs = list(dict.fromkeys(question.run for question in questions))
    own = [[question for question in questions if question.run == run] for run in runs]
    exchanges = []
    for run, asked in zip(runs, own, strict=True):
        grid = LocalGrid(client_app.app, run.config.clients, run.to_flower())
        nodes = list(grid.get_node_ids())
        messages = [
            Message(q.content, message_type=ASK, dst_node_id=nodes[q.client]) for q in asked
        ]
        exchanges.append(Exchange(run.run, messages, [grid.context_of(m) for m in messages]))
    answered = answer(exchanges)
    replies: dict[tuple[int, int], Message] = {}
    for exchange, asked, received in zip(exchanges, own, answered, strict=True):
        ledger = Ledger()
        ledger.sent(exchange.messages)
        ledger.received(received)
        writes.save_crossings(ledger.take(exchange.run))
        for question, reply in zip(asked, received, strict=True):
            if reply.has_error():
                raise ClientFailed(reply.error.reason or "a client did not answer")
            replies[exchange.run, question.client] = reply
    return [replies[question.run.run, question.client] for question in questions]
