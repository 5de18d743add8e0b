"""The clients behind Flower's own engines: who they are, and asking them until they have answered.

A client that is lost in the middle of a round (its SuperNode is gone, its Ray actor has died) is
waited for and asked again; training is seeded, so the numbers stay the same.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flwr.app import ConfigRecord, Error, Message, MetricRecord, RecordDict

from engine.fl.flower.messages import CLIENT_APP_RAISED
from engine.fl.flower.packing import pack, unpack
from engine.fl.flower.relay_app import Answer, Letter
from engine.fl.interruption import check_wanted
from engine.fl.run_config import OF_A_RUN
from engine.fl.runtimes.local_grid import client_at
from engine.fl.runtimes.meeting import Exchange
from engine.fl.runtimes.relay import LineBroken, Relay
from engine.system.faults import RunFailed

log = logging.getLogger(__name__)
_POLL_SECONDS = 0.1
_LOOK_SECONDS = 1.0  # between two looks for nodes that have come
_MOST_LOSSES = 3  # of one client, and of the engine, in one exchange
# Flower's ErrorCode of what is not the app's fault: MESSAGE_UNAVAILABLE, REPLY_MESSAGE_UNAVAILABLE,
# NODE_UNAVAILABLE, CLIENT_APP_CRASHED. A dead actor is UNKNOWN, with Ray's words.
_LOST = (3, 4, 5, 8)
_ACTOR_LOST = re.compile(
    r"ray\.exceptions\.(RayActor|ActorDied|ActorUnavailable|WorkerCrashed|NodeDied)"
)


class Federation:
    """The clients of an experiment, and their nodes at the other end of a relay.

    ``patience``: how many seconds a client may stay away. ``probes``: a client that is silent for
    so many seconds is asked who it is, which it answers after what it was asked before, unless it
    has lost that. ``renew`` starts an engine anew whose lost clients do not come back by
    themselves. ``tell`` is called with a run's number and what has happened to a client of it.
    """

    def __init__(
        self,
        relay: Relay,
        clients: int,
        patience: float,
        tell: Callable[[int, str], None],
        *,
        probes: float | None = None,
        renew: Callable[[], None] | None = None,
    ) -> None:
        self.relay = relay
        self.patience = patience
        self.tell = tell
        self.probes = probes
        self.renew = renew
        self.nodes: dict[int, int] = {}  # by client
        self._clients = clients
        self._introductions: dict[str, int] = {}  # node by letter
        self._looked = 0.0

    def meet(self) -> None:
        """Wait until all clients have said who they are. Raises RunFailed."""
        end = time.monotonic() + self.patience
        while missing := [k for k in range(self._clients) if k not in self.nodes]:
            if time.monotonic() > end:
                raise RunFailed(
                    f"only {self._clients - len(missing)} of {self._clients} clients have come "
                    f"within {self.patience:g} s; missing: {_listed(missing)}"
                )
            self.look()
            time.sleep(_POLL_SECONDS)

    def is_there(self) -> bool:
        """Tell whether the engine still answers."""
        try:
            self.relay.nodes()
        except RunFailed:
            return False
        return True

    def start_anew(self) -> None:
        """Start the engine anew, and meet all clients again. Raises RunFailed."""
        assert self.renew is not None
        self.nodes.clear()
        self._introductions.clear()
        self.renew()
        self.meet()

    def look(self) -> None:
        """Ask nodes that have come who they are, and note who has answered."""
        if time.monotonic() - self._looked > _LOOK_SECONDS:
            self._looked = time.monotonic()
            known = {*self.nodes.values(), *self._introductions.values()}
            strangers = [node for node in self.relay.nodes() if node not in known]
            sent = self.relay.push([_who_are_you(node) for node in strangers])
            self._introductions.update(zip(sent, strangers, strict=True))
        for answer in self.relay.pull(self._introductions):
            node = self._introductions.pop(answer.letter)
            if answer.content is not None:
                self.nodes[_client_in(answer.content)] = node

    def answer(self, exchanges: Sequence[Exchange]) -> list[list[Message]]:
        """Return the replies to all messages; raises StopRequested, RunFailed."""
        if exchanges[0].kind == "query":  # who are you? They have said so already
            return [[_introduction(message) for message in e.messages] for e in exchanges]
        questions = [
            [_Question.of(exchange, m) for m in exchange.messages] for exchange in exchanges
        ]
        _Interview(self, [question for part in questions for question in part]).hold()
        return [[q.reply for q in part if q.reply is not None] for part in questions]


@dataclass
class _Question:
    """A message of a run that waits for its reply.

    ``letter``: the name of what is on its way; ``since``: when it was sent, or when its client was
    lost.
    """

    run: int
    client: int
    message: Message
    content: RecordDict
    reply: Message | None = None
    letter: str | None = None
    since: float = 0.0
    losses: int = 0

    @classmethod
    def of(cls, exchange: Exchange, message: Message) -> _Question:
        """Return a message as it travels: it says which run it is about."""
        values = exchange.contexts[0].run_config
        run = ConfigRecord({key: values[key] for key in OF_A_RUN})
        client = client_at(message.metadata.dst_node_id)
        content = pack(RecordDict({**message.content, "run": run}))
        return cls(exchange.run, client, message, content)

    def fail(self, reason: str) -> None:
        """Have the client's fault, or its absence, be the reply."""
        self.reply = Message(Error(CLIENT_APP_RAISED, reason), reply_to=self.message)


class _Interview:
    """Questions of one kind on their way to clients, until all are answered."""

    def __init__(self, federation: Federation, questions: Sequence[_Question]) -> None:
        self._federation = federation
        self._relay = federation.relay
        self._questions = questions
        self._letters: dict[str, _Question] = {}
        self._probes: dict[str, _Question] = {}
        self._renewals = 0

    def hold(self) -> None:
        """Ask until all have replied, or failed. Raises StopRequested, RunFailed."""
        while self._open():
            check_wanted()
            try:
                self._go_round()
            except LineBroken:
                if self._federation.renew is None or self._renewals == _MOST_LOSSES:
                    raise
                self._start_anew()
            if self._open():
                time.sleep(_POLL_SECONDS)

    def _open(self) -> list[_Question]:
        return [question for question in self._questions if question.reply is None]

    def _go_round(self) -> None:
        self._ask()
        probed = self._relay.pull(self._probes)  # before the letters: they were sent before
        for answer in self._relay.pull(self._letters):
            self._receive(self._letters.pop(answer.letter), answer)
        for answer in probed:
            question = self._probes.pop(answer.letter)
            if question.reply is None and question.letter is not None:
                self._lose(question, answer.reason or "it has forgotten what it was asked")
        self._probe()
        if lost := [question for question in self._open() if question.letter is None]:
            self._wait_for(lost)

    def _ask(self) -> None:
        """Ask those who have not been asked and are there."""
        nodes = self._federation.nodes
        due = [q for q in self._open() if q.letter is None and q.client in nodes]
        kind = self._questions[0].message.metadata.message_type
        sent = self._relay.push([Letter(q.content, kind, nodes[q.client]) for q in due])
        for question, letter in zip(due, sent, strict=True):
            if question.losses:
                self._federation.tell(question.run, f"Client {question.client} is asked again.")
            question.letter, question.since = letter, time.monotonic()
            self._letters[letter] = question

    def _receive(self, question: _Question, answer: Answer) -> None:
        if question.reply is not None:  # it has been asked twice
            return
        if answer.content is not None:
            question.reply = Message(unpack(answer.content), reply_to=question.message)
        elif answer.code not in _LOST and not _ACTOR_LOST.search(answer.reason):
            question.fail(answer.reason)
        elif question.letter == answer.letter:
            self._lose(question, answer.reason)

    def _lose(self, question: _Question, reason: str) -> None:
        """Have a question wait for its client to come back."""
        log.warning("client %d is lost: %s", question.client, reason)
        question.letter, question.since = None, time.monotonic()
        question.losses += 1
        self._federation.nodes.pop(question.client, None)
        if question.losses > _MOST_LOSSES:
            question.fail(f"client {question.client} was lost {question.losses} times: {reason}")
        else:
            self._federation.tell(
                question.run, f"Client {question.client} is gone: waiting for it."
            )

    def _probe(self) -> None:
        """Ask the silent who they are."""
        probes, nodes = self._federation.probes, self._federation.nodes
        if probes is None:
            return
        probed = list(self._probes.values())
        late = time.monotonic() - probes
        silent = [q for q in self._open() if q.letter and q.since < late and q.client in nodes]
        silent = [question for question in silent if question not in probed]
        sent = self._relay.push([_who_are_you(nodes[question.client]) for question in silent])
        self._probes.update(zip(sent, silent, strict=True))

    def _wait_for(self, lost: Sequence[_Question]) -> None:
        """Look for clients that are gone, as long as there is patience."""
        if self._federation.renew is not None:
            self._start_anew()
            return
        self._federation.look()
        patience = self._federation.patience
        for question in lost:
            if time.monotonic() - question.since > patience:
                question.fail(f"client {question.client} has not come back within {patience:g} s")

    def _start_anew(self) -> None:
        """Start the engine anew, and ask again whatever is open."""
        self._renewals += 1
        for question in self._open():
            question.letter = None
        self._letters.clear()
        self._federation.start_anew()


def _who_are_you(node: int) -> Letter:
    return Letter(RecordDict(), "query", node)


def _introduction(question: Message) -> Message:
    who = MetricRecord({"partition-id": client_at(question.metadata.dst_node_id)})
    return Message(RecordDict({"metrics": who}), reply_to=question)


def _client_in(introduction: RecordDict) -> int:
    number = introduction.metric_records["metrics"]["partition-id"]
    assert not isinstance(number, list)
    return int(number)


def _listed(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:8]))
    return shown if len(numbers) <= 8 else f"{shown}, …"
