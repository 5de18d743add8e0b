"""What crossed between the server and the clients of a run, in plain words. No torch here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from db import reads
from db.tables import Crossing
from engine.strategies import STRATEGIES

_PURPOSES = {
    "query": "who are you?",
    "query.account": "what data do you have?",
    "train": "training",
    "evaluate": "testing",
    "query.ask": "a question on Ask",
}
_PARTS = {
    "A": "factor A",
    "B": "factor B",
    "delta": "what is added to the frozen weights",
    "votes": "how much is lost at each corner",
    "config": "settings (the round)",
    "problems": "what is wrong with its data, and how often",
    "scores": "scores of its tests",
    "answers": "its models' answers",
    "question": "the question",
    "image": "the picture that is asked about",
}
_FIGURES = {
    "train": "figures (samples, loss, seconds)",
    "query.account": "how many questions and answers it has",
}


@dataclass(frozen=True)
class Crossed:
    """The messages of one purpose and direction, over all rounds and clients."""

    purpose: str
    direction: str
    what: str
    messages: int
    bytes: int
    clients: int


def crossed(run_id: int) -> list[Crossed]:
    """Return what has crossed in a run; [] in one of a lab that counted nothing."""
    rows = reads.crossings(run_id)
    found = []
    for kind in sorted({row.kind for row in rows}, key=_order):
        for to_server in (False, True):
            if mine := [row for row in rows if (row.kind, row.to_server) == (kind, to_server)]:
                found.append(_in_words(kind, to_server, mine))
    return found


def beside(strategy: str) -> str:
    """Say what the server learns beside what messages are for; "" for nothing."""
    rule = STRATEGIES[strategy]()
    if rule.server_trains:
        return (
            "The server trains on the pictures, questions and answers of all clients: they travel, "
            "too, and are in no message."
        )
    if rule.sends_what_it_keeps:
        return "Clients send all that they keep: the server knows every client's own model."
    return ""


def _order(kind: str) -> tuple[int, str]:
    known = list(_PURPOSES)
    return known.index(kind) if kind in known else len(known), kind


def _in_words(kind: str, to_server: bool, rows: Sequence[Crossing]) -> Crossed:
    parts = sum((Counter(row.parts) for row in rows), Counter())
    names = {**_PARTS, "metrics": _FIGURES.get(kind, "its number")}
    return Crossed(
        purpose=_PURPOSES.get(kind, kind),
        direction="to the server" if to_server else "to clients",
        what=", ".join(names.get(part, part) for part, _ in parts.most_common()) or "nothing",
        messages=sum(row.messages for row in rows),
        bytes=sum(row.bytes for row in rows),
        clients=len(rows),
    )
