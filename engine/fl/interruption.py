"""Give up what is being computed when nobody wants the result any more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class StopRequested(Exception):
    """Nobody wants the result any more of what is being computed."""


_is_unwanted: ContextVar[Callable[[], bool]] = ContextVar("is_unwanted")


@contextmanager
def giving_up_when(is_unwanted: Callable[[], bool]) -> Iterator[None]:
    """Have ``check_wanted`` ask this function, in this thread, for as long as the block lasts."""
    token = _is_unwanted.set(is_unwanted)
    try:
        yield
    finally:
        _is_unwanted.reset(token)


def check_wanted() -> None:
    """Raise StopRequested where the result is wanted no more; called before every pass."""
    is_unwanted = _is_unwanted.get(None)
    if is_unwanted is not None and is_unwanted():
        raise StopRequested("asked to stop")
