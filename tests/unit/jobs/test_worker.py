"""The worker as a real process: it outlives whoever started it, and its death loses nothing."""

import os
import signal

import psutil
import pytest

from db import reads
from engine.config import ExperimentConfig
from engine.jobs import queue
from engine.jobs.worker import serve
from engine.system.processes import is_alive
from tests.conftest import wait_for

pytestmark = pytest.mark.real_worker


@pytest.fixture(autouse=True)
def end_workers(home):
    yield
    for worker in reads.workers():
        if is_alive(worker):
            os.kill(worker.pid, signal.SIGKILL)


def the_worker():
    return wait_for(lambda: [w for w in reads.workers() if is_alive(w)])[0]


def test_queued_experiments_are_done_one_after_another_by_one_worker(tiny):
    alone = tiny.model_copy(update={"strategies": ("plora",)})
    _, first = queue.submit(alone)
    _, second = queue.submit(alone.model_copy(update={"seed": 1}))
    runs = [*first, *second]
    wait_for(lambda: all(reads.run(r).status == "done" for r in runs))
    ends = [max(reads.run(run_id).finished_at for run_id in own) for own in (first, second)]
    assert ends[0] <= min(reads.run(run_id).started_at for run_id in second) <= ends[1]
    worker = the_worker()
    assert len(reads.workers()) == 1
    assert os.getsid(worker.pid) == worker.pid, "it has a session of its own"


def test_a_killed_worker_leaves_an_interrupted_run_that_can_be_resumed(tiny):
    long = ExperimentConfig.parse({**tiny.model_dump(), "rounds": 60, "strategies": ["plora"]})
    _, [run_id] = queue.submit(long)
    wait_for(lambda: reads.run(run_id).rounds_done >= 2)
    os.kill(the_worker().pid, signal.SIGKILL)
    # The killed child stays a zombie of this process: it must not pass for alive.
    wait_for(lambda: (queue.mark_interrupted(), reads.run(run_id).status)[1] == "interrupted")
    kept = reads.run(run_id).rounds_done
    assert kept >= 2 and len(reads.rounds(run_id)) == kept
    assert any("worker is gone" in event.text for event in reads.events(run_id))

    queue.resume(run_id)
    wait_for(lambda: reads.run(run_id).rounds_done > kept)
    queue.stop(run_id)
    wait_for(lambda: reads.run(run_id).status == "stopped")
    rounds = [row.round for row in reads.rounds(run_id)]
    assert rounds == list(range(1, len(rounds) + 1)), "no round is missing or done twice"


def test_an_idle_worker_leaves_and_a_second_one_does_not_start(home):
    assert serve(idle_seconds=0.5) is True
    assert reads.workers() == []
    queue.ensure_worker()
    worker = the_worker()
    queue.ensure_worker()
    wait_for(serve_is_refused)  # as soon as the other one has come so far
    assert [w.pid for w in reads.workers()] == [worker.pid]
    assert psutil.pid_exists(worker.pid)


def serve_is_refused() -> bool:
    import engine.jobs.worker as module

    patience, module._HANDOVER_SECONDS = module._HANDOVER_SECONDS, 0
    try:
        return serve(idle_seconds=0) is False
    finally:
        module._HANDOVER_SECONDS = patience
