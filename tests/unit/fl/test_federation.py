"""Clients behind a Flower engine that come late, are lost, or never return. No engine runs here."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from flwr.app import ConfigRecord, Message, MetricRecord, RecordDict

from engine.fl.flower.messages import client_of
from engine.fl.flower.relay_app import Answer, Letter
from engine.fl.interruption import StopRequested, giving_up_when
from engine.fl.run_config import RunConfig
from engine.fl.runtimes import federation as module
from engine.fl.runtimes.federation import Federation
from engine.fl.runtimes.local import MeetingGrid
from engine.fl.runtimes.local_grid import node_of
from engine.fl.runtimes.meeting import Exchange
from engine.fl.runtimes.relay import LineBroken
from engine.system.faults import RunFailed

GONE = 5  # Flower's NODE_UNAVAILABLE


@dataclass
class Line:
    """A relay's line to nodes, by number of the node: its client, None while it cannot say.

    ``faults`` has for a node what it does with the next train messages: "gone", "silent", "raise".
    """

    clients: dict[int, int]
    faults: dict[int, list[str]] = field(default_factory=dict)
    sent: list[Letter] = field(default_factory=list)
    answers: dict[str, Answer] = field(default_factory=dict)
    broken: bool = False

    def nodes(self) -> list[int]:
        return list(self.clients)

    def push(self, letters) -> list[str]:
        return [self._take(letter) for letter in letters]

    def pull(self, letters) -> list[Answer]:
        if self.broken:
            raise LineBroken("gone")
        return [self.answers.pop(name) for name in list(letters) if name in self.answers]

    def _take(self, letter: Letter) -> str:
        self.sent.append(letter)
        name = str(len(self.sent))
        faults = self.faults.get(letter.node, []) if letter.message_type == "train" else []
        match faults.pop(0) if faults else "":
            case "silent":
                pass
            case "gone":
                self.answers[name] = Answer(name, None, GONE, "node is gone")
            case "raise":
                self.answers[name] = Answer(name, None, 2, "no such word")
            case _:
                who = MetricRecord({"partition-id": self.clients[letter.node]})
                self.answers[name] = Answer(name, RecordDict({"metrics": who}))
        return name

    def trained(self) -> list[int]:
        return [letter.node for letter in self.sent if letter.message_type == "train"]


@pytest.fixture(autouse=True)
def _hurry(monkeypatch):
    monkeypatch.setattr(module, "_POLL_SECONDS", 0.001)
    monkeypatch.setattr(module, "_LOOK_SECONDS", 0.0)


@pytest.fixture
def exchange(tiny):
    """Train messages of run 7 to both clients."""
    grid = MeetingGrid(RunConfig(7, "plora", tiny, Path("somewhere")), lambda _: [])
    content = RecordDict({"config": ConfigRecord({"server-round": 1})})
    messages = [
        Message(content, message_type="train", dst_node_id=node_of(client)) for client in (0, 1)
    ]
    return Exchange(7, messages, [grid.context_of(message) for message in messages])


def met(line: Line, told: list[str], patience: float = 5, **options) -> Federation:
    federation = Federation(line, 2, patience, lambda _, text: told.append(text), **options)
    federation.meet()
    return federation


def test_a_message_says_which_run_it_is_about_and_replies_come_in_order(exchange):
    line = Line({40: 1, 30: 0})
    [replies] = met(line, []).answer([exchange])
    assert [client_of(reply) for reply in replies] == [0, 1]
    assert [reply.metadata.src_node_id for reply in replies] == [node_of(0), node_of(1)]
    assert line.trained() == [30, 40]
    run = line.sent[-1].content.config_records["run"]
    assert dict(run) == {"run": "7", "strategy": "plora", "folder": "somewhere"}


def test_a_client_that_is_lost_is_asked_again_when_its_node_returns_under_another_number(exchange):
    line, told = Line({30: 0, 40: 1}, {40: ["gone"]}), []
    federation = met(line, told)

    def tell(run: int, text: str) -> None:
        told.append(text)
        if "gone" in text:
            line.clients = {30: 0, 41: 1}

    federation.tell = tell
    [replies] = federation.answer([exchange])
    assert [client_of(reply) for reply in replies] == [0, 1]
    assert line.trained() == [30, 40, 41]
    assert told == ["Client 1 is gone: waiting for it.", "Client 1 is asked again."]


def test_a_client_that_does_not_return_fails_its_run_with_the_reason(exchange):
    line = Line({30: 0, 40: 1}, {40: ["gone"]})
    federation = met(line, [], patience=0.2)
    federation.tell = lambda _, text: line.clients.pop(40, None)
    [[first, second]] = federation.answer([exchange])
    assert client_of(first) == 0
    assert second.error.reason == "client 1 has not come back within 0.2 s"


def test_a_node_that_has_forgotten_its_message_is_asked_again(exchange):
    line, told = Line({30: 0, 40: 1}, {30: ["silent"]}), []
    [replies] = met(line, told, probes=0.05).answer([exchange])
    assert [client_of(reply) for reply in replies] == [0, 1]
    assert line.trained() == [30, 40, 30]


def test_a_client_that_is_lost_again_and_again_fails_its_run(exchange):
    line = Line({30: 0, 40: 1}, {40: ["gone"] * 9})
    [[_, second]] = met(line, []).answer([exchange])
    assert second.error.reason == "client 1 was lost 4 times: node is gone"


def test_a_fault_of_the_app_is_not_asked_for_again(exchange):
    line = Line({30: 0, 40: 1}, {40: ["raise"]})
    [[_, second]] = met(line, []).answer([exchange])
    assert second.error.reason == "no such word"
    assert line.trained() == [30, 40]


def test_an_engine_is_started_anew_where_its_clients_do_not_return(exchange):
    line, starts = Line({30: 0, 40: 1}, {40: ["gone"]}), []

    def renew() -> None:
        starts.append(None)
        line.clients, line.broken = {50: 0, 60: 1}, len(starts) == 1

    federation = met(line, [], renew=renew)
    federation.meet = lambda: federation.nodes.update({0: 50, 1: 60})
    [replies] = federation.answer([exchange])
    assert [client_of(reply) for reply in replies] == [0, 1]
    assert len(starts) == 2  # the first of them broke at once


def test_a_client_that_comes_late_is_waited_for(exchange):
    line, looks = Line({30: 0}), []

    def nodes() -> list[int]:
        looks.append(None)
        if len(looks) > 3:
            line.clients[40] = 1
        return list(line.clients)

    line.nodes = nodes
    [replies] = met(line, []).answer([exchange])
    assert [client_of(reply) for reply in replies] == [0, 1]
    assert len(looks) > 3


def test_clients_that_never_come_are_named(exchange):
    with pytest.raises(RunFailed, match="only 1 of 2 clients have come within 0.1 s; missing: 1"):
        met(Line({30: 0}), [], patience=0.1)


def test_a_stop_is_heard_while_a_client_is_waited_for(exchange):
    line = Line({30: 0, 40: 1}, {40: ["silent"]})
    federation = met(line, [])
    with pytest.raises(StopRequested), giving_up_when(lambda: len(line.trained()) == 2):
        federation.answer([exchange])
