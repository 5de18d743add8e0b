"""The ServerApp that Flower's own engines start: it passes messages on for the worker.

The worker holds the real ServerApps (engine/fl/flower/server_app.py), one for each run of an
experiment, beside the model that is loaded once; engine/fl/runtimes/relay.py is its end. This one
imports no torch, needs two seconds to start, and touches Flower's public Grid alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from multiprocessing.connection import Client, Connection
from typing import Any

from flwr.app import Context, Message, RecordDict
from flwr.serverapp import Grid, ServerApp

app = ServerApp()


@dataclass(frozen=True)
class Letter:
    """A message to a node."""

    content: RecordDict
    message_type: str
    node: int


@dataclass(frozen=True)
class Answer:
    """The reply to a letter, or the code and the reason of an error."""

    letter: str
    content: RecordDict | None
    code: int = 0
    reason: str = ""


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Do what the worker asks for, until it hangs up."""
    calls: dict[str, Callable[[Grid, Any], object]]
    calls = {"nodes": _nodes, "push": _push, "pull": _pull}
    with _line_to(str(context.run_config["relay"])) as worker:
        while True:
            try:
                name, argument = worker.recv()
            except EOFError:
                return
            worker.send(calls[name](grid, argument))


def _line_to(address: str) -> Connection:
    return Client(address, family="AF_UNIX")


def _nodes(grid: Grid, _: None) -> list[int]:
    return list(grid.get_node_ids())


def _push(grid: Grid, letters: Iterable[Letter]) -> list[str]:
    messages = [
        Message(letter.content, message_type=letter.message_type, dst_node_id=letter.node)
        for letter in letters
    ]
    return list(grid.push_messages(messages))


def _pull(grid: Grid, letters: Iterable[str]) -> list[Answer]:
    return [_answer(reply) for reply in grid.pull_messages(letters)]


def _answer(reply: Message) -> Answer:
    letter = reply.metadata.reply_to_message_id
    if reply.has_error():
        return Answer(letter, None, reply.error.code, reply.error.reason or "")
    return Answer(letter, reply.content)
