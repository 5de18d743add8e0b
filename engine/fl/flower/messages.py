"""What is read from Flower's messages: arrays, their bytes, and the weights of clients."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from flwr.app import Array, ArrayRecord, Error, Message

from engine.adapters.adapter import Adapter
from engine.strategies.base import Arrays
from engine.system.faults import RunFailed

ACCOUNT = "query.account"  # the message type of @app.query("account")
CLIENT_APP_RAISED = 2  # flwr's ErrorCode.CLIENT_APP_RAISED_EXCEPTION


class ClientFailed(RunFailed):
    """A client answered with an error, or not at all."""


def require_success(replies: Iterable[Message]) -> list[Message]:
    """Return the replies in order of client; raises ClientFailed with the reason of an error."""
    replies = list(replies)
    for reply in replies:
        if reply.has_error():
            raise ClientFailed(reply.error.reason or "a client failed without giving a reason")
    if not replies:
        raise ClientFailed("no client answered")
    return sorted(replies, key=client_of)


def arrays_of(message: Message) -> ArrayRecord:
    """Return the factors that a message carries."""
    return message.content.array_records["arrays"]


def metric_in(reply: Message, key: str) -> float:
    """Return one of a reply's numbers."""
    value = reply.content.metric_records["metrics"][key]
    if isinstance(value, list):
        raise TypeError(f"{key} is a list")
    return value


def setting_of(message: Message, key: str) -> object:
    """Return what the server says to a client beside the factors; None where it does not."""
    return message.content.config_records["config"].get(key)


def error_reply(error: Exception, message: Message) -> Message:
    """Return what a client answers when it cannot: a fault travels, as on Flower's runtimes."""
    told = isinstance(error, RunFailed)  # it is one sentence already
    reason = str(error) if told else f"{type(error).__name__}: {error}"
    return Message(Error(CLIENT_APP_RAISED, reason), reply_to=message)


def client_of(reply: Message) -> int:
    """Return the number of the client that a reply comes from."""
    return int(metric_in(reply, "partition-id"))


def weights_of(replies: list[Message]) -> np.ndarray:
    """Return p_k = n_k / Σ n of the clients that replied."""
    samples = np.array([metric_in(reply, "num-examples") for reply in replies], float)
    return samples / samples.sum()


def to_numpy(record: ArrayRecord) -> Arrays:
    """Return a record's arrays."""
    return Adapter({name: array.numpy() for name, array in record.items()})


def to_record(arrays: Mapping[str, np.ndarray]) -> ArrayRecord:
    """Return arrays as Flower sends them."""
    return ArrayRecord({name: Array(np.ascontiguousarray(v)) for name, v in arrays.items()})


def payload_bytes(record: ArrayRecord) -> int:
    """Return the bytes of the numbers in a record, without headers."""
    return sum(map(bytes_of, record.values()))


def bytes_of(array: Array) -> int:
    """Return the bytes of the numbers in an array."""
    return int(np.prod(array.shape)) * np.dtype(array.dtype).itemsize
