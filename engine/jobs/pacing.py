"""What becomes of the runs of an experiment while they train: paused, stopped, taken away."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from db import pacing, reads

_POLL_SECONDS = 0.2


class Evicted(Exception):
    """A paused experiment makes room for one that waits in the queue."""


class Pacer:
    """What the database says about an experiment's pace, read in the background."""

    def __init__(
        self, experiment_id: int, runs: list[int], stop: Callable[[int], None], *, evicts: bool
    ) -> None:
        """``stop`` is told once of every run that somebody asked to stop.

        ``evicts``: whether a paused experiment makes room for one in the queue.
        """
        self._evicts = evicts
        self._experiment, self._runs, self._stop = experiment_id, runs, stop
        self._limit = pacing.round_limit(experiment_id)
        self._stopped: set[int] = set()
        self._paused = False
        self._ended = threading.Event()

    def may_train(self, round_: int) -> bool:
        """Tell whether a round may begin."""
        return self._limit is None or round_ <= self._limit

    def idle(self, waits_for_leave: bool) -> None:
        """Note in the database whether the runs are paused; raises Evicted."""
        if waits_for_leave and not self._paused:
            pacing.mark_paused(self._runs)
        elif self._paused and not waits_for_leave:
            pacing.mark_running(self._runs)
        self._paused = waits_for_leave
        if self._paused and self._evicts and reads.next_queued() is not None:
            raise Evicted

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look at the database again and again for as long as the block lasts."""
        thread = threading.Thread(target=self._watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(_POLL_SECONDS):
            self._limit = pacing.round_limit(self._experiment)
            for run in self._runs:
                if run not in self._stopped and reads.stop_requested(run):
                    self._stopped.add(run)
                    self._stop(run)
