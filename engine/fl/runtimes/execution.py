"""Where the clients of an experiment's runs work: in this process, or behind a Flower engine.

Whatever the runtime, this process holds a ServerApp for every run, in a thread of its own, and the
runs meet (meeting.py); only who answers differs. So a stop, a pause, a fault and what pages see are
the same on all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from db import writes
from engine.fl.interruption import StopRequested, giving_up_when
from engine.fl.run_config import RunConfig
from engine.fl.runtimes import local
from engine.fl.runtimes.deployment import deployed
from engine.fl.runtimes.federation import Federation
from engine.fl.runtimes.meeting import Answer, Orders
from engine.fl.runtimes.ray_engine import simulated
from engine.fl.runtimes.standing import standing

_ENGINES = {"ray": simulated, "superlink": deployed}


def execute(runs: Sequence[RunConfig], orders: Orders) -> None:
    """Run the ServerApps of runs of one experiment on its runtime, to their ends, or to a pause.

    Where they are paused, the engine stays for when they go on. Raises what goes wrong before a run
    has begun.
    """

    def are_stopped() -> bool:
        return all(orders.is_stopped(run.run) for run in runs)

    runtime = runs[0].config.runtime
    if runtime != "local" and not _open_engine.has(runs[0]):
        for run in runs:
            writes.add_event(run.run, f"Starting the clients on {runtime}: this can take a minute.")
    try:
        with answering(runs[0], are_stopped) as answer:
            is_paused = local.execute(runs, orders, answer)
    except StopRequested:  # while the engine was starting
        for run in runs:
            orders.ended(run.run, None)
    else:
        if is_paused:
            return
    _open_engine.close()


@contextmanager
def answering(run: RunConfig, is_unwanted: Callable[[], bool] = lambda: False) -> Iterator[Answer]:
    """Give what has the clients of a run's experiment answer messages, on its runtime.

    Its engine stays open afterwards. Raises RunFailed where clients do not come, StopRequested
    where they are not wanted any more.
    """
    if run.config.runtime == "local":
        _open_engine.close()
        yield local.answer
        return
    try:
        with giving_up_when(is_unwanted):
            federation = _open_engine.of(run)
        yield federation.answer
    except StopRequested:
        raise
    except BaseException:
        _open_engine.close()
        raise


@contextmanager
def answering_questions(run: RunConfig) -> Iterator[Answer]:
    """Give what has a run's clients answer, also when it is over.

    Those of a federation that stands answer where they are. What others have kept lies here on
    disk, and no engine needs to start. Raises RunFailed.
    """
    if run.config.runtime == "superlink" and standing() is not None:
        with answering(run) as answer:
            yield answer
    else:
        yield local.answer


class _OpenEngine:
    """The engine that this process has open, if any: that of one experiment."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._open: tuple[object, Federation] | None = None

    def of(self, run: RunConfig) -> Federation:
        """Return an experiment's clients; closes another's engine. Raises RunFailed."""
        if self._open is not None and self.has(run):
            return self._open[1]
        self.close()
        engine = _ENGINES[run.config.runtime](run, writes.add_event)
        federation = self._stack.enter_context(engine)
        self._open = ((run.config, run.resolved), federation)
        return federation

    def has(self, run: RunConfig) -> bool:
        """Tell whether it is open for a run's experiment, and still answers."""
        if self._open is None:
            return False
        experiment, federation = self._open
        return experiment == (run.config, run.resolved) and federation.is_there()

    def close(self) -> None:
        """Close it; it closes by itself where this process ends."""
        self._open = None
        self._stack.close()


_open_engine = _OpenEngine()
