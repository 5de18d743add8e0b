"""The ``local`` runtime: both apps in this process, the runs of an experiment side by side.

Each run's ServerApp has a thread and a grid of its own, as if it were alone; this thread answers
what they send (engine/fl/runtimes/meeting.py). The apps do not know the difference.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence

from flwr.app import Context, Message, RecordDict

from engine.fl.flower import client_app, server_app
from engine.fl.run_config import RunConfig
from engine.fl.runtimes.local_grid import AnswerTogether, LocalGrid, deliver
from engine.fl.runtimes.meeting import Closed, Exchange, Meeting

log = logging.getLogger(__name__)
_TOGETHER: dict[str, AnswerTogether] = {
    "train": client_app.train_together,
    "evaluate": client_app.evaluate_together,
}


class MeetingGrid(LocalGrid):
    """The grid of one run: its messages wait until the other runs have come as far."""

    def __init__(self, run: RunConfig, meeting: Meeting) -> None:
        super().__init__(client_app.app, run.config.clients, run.to_flower())
        self._number = run.run
        self._meeting = meeting

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Hand messages in and return the replies, in order. Raises StopRequested."""
        return self._meeting.ask(self._number, list(messages))


def execute_alone(run: RunConfig, *, together: bool = True) -> None:
    """Run the ServerApp of one run to its end in this thread; its clients one by one if not so."""
    grid = LocalGrid(
        client_app.app, run.config.clients, run.to_flower(), _TOGETHER if together else None
    )
    server_app.app(grid, _server_context(run))


def execute(
    runs: Sequence[RunConfig],
    meeting: Meeting,
    on_end: Callable[[int, Exception | None], None],
    idle: Callable[[bool], None],
) -> None:
    """Run the ServerApps of these runs of one experiment to their ends.

    ``on_end`` is called with a run's number and what went wrong as soon as it is over, from its
    thread; ``idle``: see ``Meeting.answer_all``. An exception of ``idle`` ends all of them, without
    ``on_end``.
    """
    grids = {run.run: MeetingGrid(run, meeting) for run in runs}

    def answer(kind: str, exchanges: Sequence[Exchange]) -> list[list[Message]]:
        messages = [message for exchange in exchanges for message in exchange.messages]
        contexts = [grids[e.run].context_of(m) for e in exchanges for m in e.messages]
        replies = iter(deliver(client_app.app, _TOGETHER.get(kind), messages, contexts))
        return [[next(replies) for _ in exchange.messages] for exchange in exchanges]

    fatal: list[BaseException] = []

    def serve(run: RunConfig) -> None:
        try:
            server_app.app(grids[run.run], _server_context(run))
            on_end(run.run, None)
        except Closed:
            return
        except Exception as fault:  # whatever it is, it ends this run alone
            log.exception("run %d failed", run.run)
            on_end(run.run, fault)
        except BaseException as fault:  # nobody raises such a thing but who ends the process
            fatal.append(fault)
            meeting.close()
        finally:
            meeting.leave(run.run)

    for run in runs:
        meeting.join(run.run)
    threads = [threading.Thread(target=serve, args=(run,), name=f"run {run.run}") for run in runs]
    for thread in threads:
        thread.start()
    try:
        meeting.answer_all(answer, idle)
    finally:
        meeting.close()
        for thread in threads:
            thread.join()
    if fatal:
        raise fatal[0]


def _server_context(run: RunConfig) -> Context:
    values = run.to_flower()
    return Context(run_id=1, node_id=1, node_config={}, state=RecordDict(), run_config=values)
