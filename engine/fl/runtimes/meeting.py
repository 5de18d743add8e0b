"""Where the ServerApps of an experiment's runs meet, so that their clients work together.

Each ServerApp goes through its rounds in a thread of its own, as if it were alone. Its exchanges
wait here until every other run has come to one, too; those of a kind are then answered together,
in the order of the runs. So a round of all runs is one pass over the frozen model where the
clients allow it, and no run is a round ahead of another that began with it.

One thread computes, the caller's; it alone knows how things stand. The runs' threads only put
what they send into its inbox and wait for what comes back.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Protocol

from flwr.app import Context, Message

from engine.fl.flower.messages import ACCOUNT, setting_of
from engine.fl.interruption import StopRequested, giving_up_when
from engine.fl.run_config import RunConfig

log = logging.getLogger(__name__)
# What a round needs comes first: who is behind catches up, and points appear before training.
_ORDER = ("query", ACCOUNT, "evaluate", "train")


class Orders(Protocol):
    """What people ask of the runs of an experiment while these are at work, and want to know."""

    def may_train(self, round_: int) -> bool:
        """Tell whether a round may begin: it may not while the experiment is paused."""

    def is_stopped(self, run: int) -> bool:
        """Tell whether somebody has asked for a run to stop."""

    def newcomers(self) -> Iterable[RunConfig]:
        """Return runs that go on from their last round with the others, each once."""

    def ended(self, run: int, fault: Exception | None) -> None:
        """Note that a run is over, as soon as it is, and what went wrong."""


class Closed(BaseException):
    """The meeting is over: a ServerApp that waits for replies ends here, without a last word."""


@dataclass
class Exchange:
    """The messages of one run, with their nodes' contexts, that wait for their replies."""

    run: int
    messages: Sequence[Message]
    contexts: Sequence[Context]
    replies: Future[list[Message]] = field(default_factory=Future)

    @property
    def kind(self) -> str:
        """The type of the messages, the same for all."""
        return self.messages[0].metadata.message_type

    @property
    def can_stop(self) -> bool:
        """Whether it is part of a round: not where a run begins, nor its answers at the end."""
        return self.kind in ("evaluate", "train") and not setting_of(self.messages[0], "answers")

    @property
    def round(self) -> int:
        """The round that the messages are about."""
        return int(str(setting_of(self.messages[0], "server-round")))


@dataclass
class _End:
    """The end of a run's thread, and what ended it before its time."""

    run: int
    fault: BaseException | None


Answer = Callable[[Sequence[Exchange]], Sequence[list[Message]]]


class Meeting:
    """The ServerApps of some runs at work.

    ``serve`` is a run's app, which asks with ``ask``; ``answer`` computes the replies to exchanges
    of one kind.
    """

    def __init__(self, serve: Callable[[RunConfig], None], answer: Answer, orders: Orders) -> None:
        self._serve = serve
        self._answer = answer
        self._orders = orders
        self._inbox: SimpleQueue[Exchange | _End] = SimpleQueue()
        self._waiting: dict[int, Exchange] = {}
        self._threads: dict[int, threading.Thread] = {}

    def join(self, run: RunConfig) -> None:
        """Start a run's app in a thread of its own."""

        def serve() -> None:
            fault = None
            try:
                self._serve(run)
            except BaseException as error:  # told to the thread that computes
                fault = error
            self._inbox.put(_End(run.run, fault))

        thread = threading.Thread(target=serve, name=f"run {run.run}", daemon=True)
        self._threads[run.run] = thread
        thread.start()

    def ask(self, exchange: Exchange) -> list[Message]:
        """Hand in messages and wait for the replies, in the run's thread.

        Raises StopRequested, Closed.
        """
        if not exchange.messages:
            return []
        self._inbox.put(exchange)
        return exchange.replies.result()

    def answer_all(self) -> bool:
        """Answer until all runs are over; return False where those left wait for leave to train."""
        try:
            while self._threads:
                if len(self._waiting) < len(self._threads):
                    self._receive()
                elif not self._answer_next():
                    return False
            return True
        finally:
            self._close()

    def _receive(self) -> None:
        arrival = self._inbox.get()
        if isinstance(arrival, Exchange):
            self._waiting[arrival.run] = arrival
            return
        fault = self._leave(arrival)
        if fault is not None and not isinstance(fault, Exception):
            raise fault  # such a thing ends the process
        if fault is not None:
            log.error("run %d failed", arrival.run, exc_info=fault)
        self._orders.ended(arrival.run, fault)

    def _leave(self, end: _End) -> BaseException | None:
        self._threads.pop(end.run).join()
        return end.fault

    def _answer_next(self) -> bool:
        """Answer what comes next of what waits; return False where it is paused, all of it."""
        for run in self._orders.newcomers():
            self.join(run)
        for exchange in [e for e in self._waiting.values() if self._is_stopped(e)]:
            self._let_go(exchange)
        if len(self._waiting) < len(self._threads):
            return True
        ready = [e for _, e in sorted(self._waiting.items()) if self._is_free(e)]
        if not ready:
            return False
        kind = min((exchange.kind for exchange in ready), key=_ORDER.index)
        exchanges = [exchange for exchange in ready if exchange.kind == kind]
        try:
            with giving_up_when(lambda: all(map(self._is_stopped, exchanges))):
                replies = self._answer(exchanges)
        except StopRequested:  # seen again above
            return True
        for exchange, own in zip(exchanges, replies, strict=True):
            if self._is_stopped(exchange):
                self._let_go(exchange)
            else:
                del self._waiting[exchange.run]
                exchange.replies.set_result(own)
        return True

    def _let_go(self, exchange: Exchange) -> None:
        del self._waiting[exchange.run]
        exchange.replies.set_exception(StopRequested("asked to stop"))

    def _is_stopped(self, exchange: Exchange) -> bool:
        return exchange.can_stop and self._orders.is_stopped(exchange.run)

    def _is_free(self, exchange: Exchange) -> bool:
        return exchange.kind != "train" or self._orders.may_train(exchange.round)

    def _close(self) -> None:
        """End every thread that is left, at the next thing that it asks."""
        for exchange in self._waiting.values():
            exchange.replies.set_exception(Closed())
        while self._threads:
            arrival = self._inbox.get()
            if isinstance(arrival, Exchange):
                arrival.replies.set_exception(Closed())
            else:
                self._leave(arrival)
