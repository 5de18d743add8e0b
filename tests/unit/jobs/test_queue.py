"""The queue: every waiting run finds one worker, and no live run is declared dead."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
from sqlalchemy import event

from db import reads, writes
from db.engine import _engine, database_url
from db.tables import Worker
from engine.jobs import queue
from engine.system import processes
from tests.conftest import _SPAWN


def waiting_run() -> int:
    _, [run_id] = writes.create_experiment({"name": "x", "clients": 2}, {"fedit": 3})
    return run_id


def register(*, dead: bool = False, host: str = "") -> int:
    """A worker that takes the queue: this process, or one whose process id was reused."""
    started = 1.0 if dead else psutil.Process(os.getpid()).create_time()
    return writes.add_worker(os.getpid(), started, takes_queue=True, host=host)


def test_whoever_looks_at_a_waiting_run_sees_to_a_worker(started):
    queue.tend()
    assert started == [], "nothing waits"
    run_id = waiting_run()
    assert writes.claim_next(register(dead=True)) == [run_id]
    second = waiting_run()
    queue.tend()
    assert started == ["worker"]
    assert [reads.run(run).status for run in (run_id, second)] == ["interrupted", "queued"]
    register()
    queue.tend()
    assert started == ["worker"], "there is one by now"


def test_however_many_ask_at_once_one_worker_is_started(home, monkeypatch):
    calls = []

    def spawn() -> None:
        calls.append(1)
        time.sleep(0.2)  # a process takes its time to start
        register()

    monkeypatch.setattr(queue, "spawn_worker", spawn)
    waiting_run()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: queue.ensure_worker(), range(8)))
    assert len(calls) == 1


def test_a_started_worker_is_registered_before_it_could_do_so_itself(home, monkeypatch):
    class Child:
        pid = os.getpid()

    monkeypatch.setattr(queue.subprocess, "Popen", lambda *_, **__: Child())
    _SPAWN()
    [row] = reads.workers()
    assert (row.pid, row.takes_queue) == (os.getpid(), True)
    assert register() == row.id, "the process finds its own row"


def test_a_worker_that_claims_while_somebody_looks_is_not_declared_dead(home, monkeypatch):
    run_id = waiting_run()
    gone = register(dead=True)
    look = reads.workers

    def look_then_be_overtaken() -> list[Worker]:
        rows = look()
        monkeypatch.setattr(reads, "workers", look)
        queue.mark_interrupted()  # another process is quicker, and SQLite gives the id again
        assert register() == gone
        assert writes.claim_next(gone) == [run_id] and writes.start_run(run_id)
        return rows

    monkeypatch.setattr(reads, "workers", look_then_be_overtaken)
    queue.mark_interrupted()
    assert reads.run(run_id).status == "running"
    assert [worker.id for worker in reads.workers()] == [gone]


def test_only_its_own_machine_judges_a_worker(home, monkeypatch):
    monkeypatch.setattr(processes, "host", lambda: "here")
    run_id = waiting_run()
    elsewhere = writes.add_worker(2**22 - 1, 1.0, takes_queue=True, host="there")
    writes.claim_next(elsewhere)
    writes.start_run(run_id)
    queue.mark_interrupted()
    assert reads.run(run_id).status == "running"
    assert processes.other_workers() == []
    monkeypatch.setattr(processes, "host", lambda: "there")
    queue.mark_interrupted()
    assert reads.run(run_id).status == "interrupted"


def test_a_run_that_ended_is_not_started_stopped_or_ended_again(home):
    run_id = waiting_run()
    assert writes.start_run(run_id) and not writes.start_run(run_id)
    writes.end_run(run_id, "done")
    writes.end_run(run_id, "failed", error="too late")
    writes.request_stop(run_id)
    assert not writes.requeue(run_id)
    run = reads.run(run_id)
    assert (run.status, run.error, run.stop_requested) == ("done", None, False)
    assert reads.events(run_id)[0].text == "Done."


def test_a_run_is_claimed_only_while_nobody_has_it(home):
    """On PostgreSQL another transaction may claim it after the inner query has looked."""
    waiting_run()
    statements = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    engine = _engine(database_url())
    event.listen(engine, "before_cursor_execute", note)
    writes.claim_next(7)
    event.remove(engine, "before_cursor_execute", note)
    [claim] = [statement for statement in statements if statement.startswith("UPDATE")]
    outer = claim.partition("(")[0] + claim.rpartition(")")[2]
    assert "worker_id IS NULL" in outer and "status = " in outer
