"""The ledger: every message that crosses between server and clients is counted, by what it holds.

Whoever sends counts: a ServerApp where it exchanges messages, and whoever asks a client questions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict

from db.tables import Crossing
from engine.adapters.adapter import DELTA_A, DELTA_B, VOTES, A, B, factor_of
from engine.fl.flower.messages import bytes_of, client_of

_FACTORS = {A: "A", B: "B", DELTA_A: "delta", DELTA_B: "delta", VOTES: VOTES}


@dataclass
class _Count:
    messages: int = 0
    parts: Counter[str] = field(default_factory=Counter)


class Ledger:
    """Counts messages by client, kind and direction."""

    def __init__(self) -> None:
        self._clients: dict[int, int] = {}  # by node, as soon as one has said who it is
        self._counts: dict[tuple[int, str, bool], _Count] = {}  # node, kind, whether to the server

    def sent(self, messages: Iterable[Message]) -> None:
        """Count messages to clients."""
        for message in messages:
            self._count(message, message.metadata.dst_node_id, to_server=False)

    def received(self, replies: Iterable[Message]) -> None:
        """Count messages from clients."""
        for reply in replies:
            node = reply.metadata.src_node_id
            if not reply.has_error():
                self._clients[node] = client_of(reply)
            self._count(reply, node, to_server=True)

    def take(self, run: int) -> list[Crossing]:
        """Return what has been counted since this was last asked, as rows of a run."""
        known = {key: count for key, count in self._counts.items() if key[0] in self._clients}
        rows = []
        for (node, kind, to_server), count in known.items():
            del self._counts[node, kind, to_server]
            rows.append(
                Crossing(
                    run_id=run,
                    client=self._clients[node],
                    kind=kind,
                    to_server=to_server,
                    messages=count.messages,
                    bytes=count.parts.total(),
                    parts=dict(count.parts),
                )
            )
        return rows

    def _count(self, message: Message, node: int, *, to_server: bool) -> None:
        key = (node, message.metadata.message_type, to_server)
        count = self._counts.setdefault(key, _Count())
        count.messages += 1
        if not message.has_error():
            count.parts.update(parts_of(message.content))


def parts_of(content: RecordDict) -> dict[str, int]:
    """Return the bytes of a message by what they are: factors by their letter, records by name."""
    parts: Counter[str] = Counter()
    for name, record in content.items():
        if isinstance(record, ArrayRecord):
            for key, array in record.items():
                parts[_FACTORS.get(factor_of(key), key)] += bytes_of(array)
        else:
            parts[name] += _bytes(record)
    return {name: size for name, size in parts.items() if size}


def _bytes(record: ConfigRecord | MetricRecord) -> int:
    """Return the bytes of a record; Flower's own count knows no empty list."""
    filled: Any = {key: value for key, value in record.items() if value != []}
    return type(record)(filled).count_bytes()
