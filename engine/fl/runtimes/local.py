"""The ``local`` runtime: both apps in this process, the runs of an experiment side by side.

Each run's ServerApp has a thread and a grid of its own, as if it were alone; this thread answers
what they send (engine/fl/runtimes/meeting.py). The apps do not know the difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain

from flwr.app import Context, Message, RecordDict

from engine.fl.flower import client_app, server_app
from engine.fl.flower.asking import ASK
from engine.fl.run_config import RunConfig
from engine.fl.runtimes.local_grid import AnswerTogether, LocalGrid, deliver
from engine.fl.runtimes.meeting import Answer, Exchange, Meeting, Orders

_TOGETHER: dict[str, AnswerTogether] = {
    "train": client_app.train_together,
    "evaluate": client_app.evaluate_together,
    ASK: client_app.ask_together,
}


class MeetingGrid(LocalGrid):
    """The grid of one run: its messages wait until the other runs have come as far."""

    def __init__(self, run: RunConfig, ask: Callable[[Exchange], list[Message]]) -> None:
        super().__init__(client_app.app, run.config.clients, run.to_flower())
        self._number = run.run
        self._ask = ask

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Hand messages in and return the replies, in order. Raises StopRequested."""
        messages = list(messages)
        contexts = [self.context_of(message) for message in messages]
        return self._ask(Exchange(self._number, messages, contexts))


def answer(exchanges: Sequence[Exchange]) -> list[list[Message]]:
    """Have the clients of exchanges of one kind answer here, together where they can."""
    messages = list(chain.from_iterable(exchange.messages for exchange in exchanges))
    contexts = list(chain.from_iterable(exchange.contexts for exchange in exchanges))
    replies = iter(deliver(client_app.app, _TOGETHER.get(exchanges[0].kind), messages, contexts))
    return [[next(replies) for _ in exchange.messages] for exchange in exchanges]


def execute(runs: Sequence[RunConfig], orders: Orders, answer: Answer = answer) -> bool:
    """Run the ServerApps of these runs of one experiment; return True where some are paused.

    ``answer`` has clients answer: here, or behind one of Flower's own engines.
    """

    def serve(run: RunConfig) -> None:
        server_app.app(MeetingGrid(run, meeting.ask), _server_context(run))

    meeting = Meeting(serve, answer, orders)
    for run in runs:
        meeting.join(run)
    return not meeting.answer_all()


def execute_alone(run: RunConfig, *, together: bool = True) -> None:
    """Run the ServerApp of one run to its end in this thread; its clients one by one if not so."""
    grid = LocalGrid(
        client_app.app, run.config.clients, run.to_flower(), _TOGETHER if together else None
    )
    server_app.app(grid, _server_context(run))


def _server_context(run: RunConfig) -> Context:
    values = run.to_flower()
    return Context(run_id=1, node_id=1, node_config={}, state=RecordDict(), run_config=values)
