"""The ``local`` runtime's Grid: it calls the ClientApp in this process, many clients at a time.

Flower's Simulation Runtime needs Ray, several processes and many seconds to start; the same apps
run here at once. The one private touch is ``TaskIdentity``, which ``Message`` reads for its
metadata; a test fails loudly when Flower changes it.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise

from flwr.app import Context, Message, RecordDict, UserConfig
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from engine.fl.flower.messages import error_reply
from engine.fl.interruption import StopRequested
from engine.system.out_of_memory import is_out_of_memory

log = logging.getLogger(__name__)
_SERVER_NODE = 1
_AT_ONCE = 32  # clients: bounds the memory of a cohort
AnswerTogether = Callable[[Sequence[Message], Sequence[Context]], list[Message]]


def node_of(client: int) -> int:
    """Return the number of a client's node as the runs' ServerApps know it."""
    return _SERVER_NODE + 1 + client


def client_at(node: int) -> int:
    """Return the client of a node, as ``node_of``."""
    return node - _SERVER_NODE - 1


class LocalGrid(Grid):
    """``clients`` nodes in this process; node k+2 is client k.

    ``together`` names, by message type, what can answer the messages of many clients at once; all
    other messages the app answers one after another.
    """

    def __init__(
        self,
        client_app: ClientApp,
        clients: int,
        run_config: UserConfig,
        together: Mapping[str, AnswerTogether] | None = None,
    ) -> None:
        self._app = client_app
        self._together = dict(together or {})
        self._run = Run.create_empty(1)
        self._replies: dict[str, Message] = {}
        number = int(str(run_config.get("run", 1)))
        self._contexts = {
            node_of(k): Context(
                run_id=number,
                node_id=node_of(k),
                node_config={"partition-id": k, "num-partitions": clients},
                state=RecordDict(),
                run_config=run_config,
            )
            for k in range(clients)
        }
        TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 1, _SERVER_NODE

    def set_run(self, run: Run) -> None:
        """Set the run; here there is only one."""
        self._run = run

    @property
    def run(self) -> Run:
        """The run of this grid."""
        return self._run

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """Make a message from the server to one node."""
        return Message(
            content, message_type=message_type, dst_node_id=dst_node_id, group_id=group_id, ttl=ttl
        )

    def get_node_ids(self) -> Iterable[int]:
        """Return all nodes."""
        return list(self._contexts)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Deliver messages and keep the replies for ``pull_messages``; return message ids."""
        ids = []
        for message in messages:
            ids.append(uuid.uuid4().hex)
            self._replies[ids[-1]] = self._deliver(message)
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Return the replies to these messages; each can be pulled once."""
        return [self._replies.pop(key) for key in message_ids if key in self._replies]

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Deliver messages and return the replies, in order; nothing times out here."""
        messages = list(messages)
        kinds = {message.metadata.message_type for message in messages}
        together = self._together.get(kinds.pop()) if len(kinds) == 1 else None
        return deliver(self._app, together, messages, [self.context_of(m) for m in messages])

    def context_of(self, message: Message) -> Context:
        """Return the context of the node that a message is for."""
        return self._contexts[message.metadata.dst_node_id]

    def _deliver(self, message: Message) -> Message:
        return _deliver(self._app, message, self.context_of(message))


def deliver(
    app: ClientApp,
    together: AnswerTogether | None,
    messages: Sequence[Message],
    contexts: Sequence[Context],
) -> list[Message]:
    """Return the replies to messages, in order: from the app, or ``together`` of many at once.

    A cohort for which memory does not suffice is cut into halves, down to single clients; one in
    which something else goes wrong into its runs, so that only the run whose fault it is fails.
    Raises StopRequested.
    """
    if together is None:
        pairs = zip(messages, contexts, strict=True)
        return [_deliver(app, message, context) for message, context in pairs]
    parts = [slice(i, i + _AT_ONCE) for i in range(0, len(messages), _AT_ONCE)]
    return [r for part in parts for r in _deliver_cohort(together, messages[part], contexts[part])]


def _deliver_cohort(
    together: AnswerTogether, messages: Sequence[Message], contexts: Sequence[Context]
) -> list[Message]:
    try:
        return together(messages, contexts)
    except StopRequested:
        raise
    except Exception as error:
        parts = _parts(contexts, in_halves=is_out_of_memory(error))
        if len(parts) == 1:  # as on Flower's runtimes, a fault travels as an error reply
            log.exception("%d clients failed", len(messages))
            return [error_reply(error, message) for message in messages]
        log.warning("%d clients at once: %s; now in %d parts", len(messages), error, len(parts))
    # Out here, what the cohort had in memory is free.
    return [
        reply
        for part in parts
        for reply in _deliver_cohort(together, messages[part], contexts[part])
    ]


def _parts(contexts: Sequence[Context], *, in_halves: bool) -> list[slice]:
    """Return what to do apart of what could not be done at once: halves, or each run."""
    ends = [k for k in range(1, len(contexts)) if contexts[k].run_id != contexts[k - 1].run_id]
    if in_halves:
        ends = [len(contexts) // 2] if len(contexts) > 1 else []
    return [slice(*pair) for pair in pairwise([0, *ends, len(contexts)])]


def _deliver(app: ClientApp, message: Message, context: Context) -> Message:
    try:
        return app(message, context)
    except StopRequested:
        raise
    except Exception as error:  # see _deliver_cohort
        log.exception("a client failed")
        return error_reply(error, message)
