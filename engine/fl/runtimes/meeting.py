"""Where the ServerApps of an experiment's runs meet, so that their clients work together.

Each ServerApp goes through its rounds in a thread of its own, as if it were alone. Its exchanges
wait here until every other run has come to one, too; those of a kind are then answered together,
in the order of the runs. So a round of all runs is one pass over the frozen model where the
clients allow it, and no run is a round ahead of another that began with it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from flwr.app import Message

from engine.fl.flower.messages import setting_of
from engine.fl.interruption import StopRequested, interruption

# What a round needs comes first: who is behind catches up, and points appear before training.
_ORDER = ("query", "evaluate", "train")


class Closed(BaseException):
    """The worker leaves: a ServerApp that waits for replies ends here, without a last word."""


@dataclass
class Exchange:
    """The messages of one run that wait for their replies."""

    run: int
    messages: list[Message]
    replies: list[Message] | None = None
    stopped: bool = False

    @property
    def kind(self) -> str:
        """The type of the messages, the same for all."""
        return self.messages[0].metadata.message_type

    @property
    def is_last_word(self) -> bool:
        """Whether a run ends with this exchange, or only begins."""
        return self.kind == "query" or bool(setting_of(self.messages[0], "answers"))

    @property
    def round(self) -> int:
        """The round that the messages are about."""
        return int(str(setting_of(self.messages[0], "server-round")))


Answer = Callable[[str, Sequence[Exchange]], Sequence[list[Message]]]


@dataclass
class Meeting:
    """The exchanges of some runs; one thread answers, one thread for each run asks.

    ``may_train`` says whether a round may begin yet (it may not while an experiment is paused).
    """

    may_train: Callable[[int], bool]
    _live: set[int] = field(default_factory=set)
    _waiting: dict[int, Exchange] = field(default_factory=dict)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _closed: bool = False

    def join(self, run: int) -> None:
        """Take part, before the run's thread starts."""
        self._live.add(run)

    def leave(self, run: int) -> None:
        """Take part no longer: the others need not wait."""
        with self._changed:
            self._live.discard(run)
            self._changed.notify_all()

    def ask(self, run: int, messages: list[Message]) -> list[Message]:
        """Hand in messages and wait for the replies, in the run's thread.

        Raises StopRequested, Closed.
        """
        if not messages:
            return []
        exchange = Exchange(run, messages)
        with self._changed:
            self._waiting[run] = exchange
            self._changed.notify_all()
            while exchange.replies is None and not self._closed and not exchange.stopped:
                self._changed.wait()
            self._waiting.pop(run, None)
        if exchange.replies is not None:
            return exchange.replies
        raise StopRequested("asked to stop") if exchange.stopped else Closed

    def stop(self, run: int) -> None:
        """Give up what a run waits for, unless that is its last word after a stop."""
        with self._changed:
            exchange = self._waiting.get(run)
            if exchange is None or exchange.is_last_word:
                return
            interruption.stop(run)
            exchange.stopped = True
            self._changed.notify_all()

    def close(self) -> None:
        """Let every thread that waits end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def answer_all(self, answer: Answer, idle: Callable[[bool], None]) -> None:
        """Answer until all runs have left, in the thread that computes.

        ``idle`` is called between two looks: with True while all that is left waits for leave to
        train.
        """
        while True:
            with self._changed:
                self._changed.wait_for(self._is_complete, timeout=0.2)
                if self._closed or not self._live:
                    return
                complete = self._is_complete()
                ready = [e for e in self._pending() if self._is_free(e)] if complete else []
            if not ready:
                idle(complete)
                continue
            kind = min((exchange.kind for exchange in ready), key=_ORDER.index)
            self._answer(answer, kind, [e for e in ready if e.kind == kind])

    def _answer(self, answer: Answer, kind: str, exchanges: list[Exchange]) -> None:
        with self._changed:
            exchanges = [exchange for exchange in exchanges if not exchange.stopped]
            for exchange in exchanges:
                interruption.clear(exchange.run)  # a last word after a stop is wanted
        if not exchanges:
            return
        try:
            replies = answer(kind, exchanges)
        except StopRequested:  # all of these runs were stopped meanwhile
            return
        with self._changed:
            for exchange, own in zip(exchanges, replies, strict=True):
                exchange.replies = exchange.replies if exchange.stopped else own
                self._waiting.pop(exchange.run, None)
            self._changed.notify_all()

    def _pending(self) -> list[Exchange]:
        open_ = [e for e in self._waiting.values() if e.replies is None and not e.stopped]
        return sorted(open_, key=lambda exchange: exchange.run)

    def _is_complete(self) -> bool:
        """Tell whether every run that is not done waits for replies."""
        return self._live <= {exchange.run for exchange in self._pending()}

    def _is_free(self, exchange: Exchange) -> bool:
        return exchange.kind != "train" or self.may_train(exchange.round)
