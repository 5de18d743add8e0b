"""Runs that somebody has stopped while they train: what their clients compute is let go."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class StopRequested(Exception):
    """Nobody wants the result any more of what is being computed."""


class Interruption:
    """The runs of this process that were asked to stop, by the thread that watches for it."""

    def __init__(self) -> None:
        self._stopped: set[int] = set()
        self._at_work: frozenset[int] = frozenset()
        self._lock = threading.Lock()

    def stop(self, run: int) -> None:
        """Have the clients of a run give up at their next step."""
        with self._lock:
            self._stopped.add(run)

    def clear(self, run: int) -> None:
        """Let a run work again: its last scores and answers are wanted."""
        with self._lock:
            self._stopped.discard(run)

    def is_stopped(self, run: int) -> bool:
        """Tell whether a run was asked to stop."""
        return run in self._stopped

    @contextmanager
    def working_for(self, runs: frozenset[int]) -> Iterator[None]:
        """Inside, this thread computes for these runs."""
        self._at_work = runs
        try:
            yield
        finally:
            self._at_work = frozenset()

    def check(self) -> None:
        """Raise StopRequested when all runs that are computed for were asked to stop."""
        if self._stopped and self._at_work and self._at_work <= self._stopped:
            raise StopRequested("asked to stop")


interruption = Interruption()
