"""An engine stays open while its experiment pauses, and no longer. No Flower engine runs here."""

from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from db import reads, writes
from engine.config import ConfigError
from engine.fl.interruption import check_wanted
from engine.fl.runtimes import execution, local
from engine.jobs import queue
from engine.jobs.worker import execute, registered
from engine.system.faults import RunFailed
from tests.helpers.runs import changed


@pytest.fixture
def engine(monkeypatch):
    """What has been opened and closed in place of Ray; its clients answer here."""
    done = []

    @contextmanager
    def opened(run, tell):
        done.append("open")
        yield SimpleNamespace(answer=local.answer, is_there=lambda: True)
        done.append("close")

    monkeypatch.setitem(execution._ENGINES, "ray", opened)
    yield done
    execution._open_engine.close()


def test_an_engine_stays_for_a_pause_and_ends_with_its_experiment(tiny, engine):
    config = changed(tiny, runtime="ray", strategies=["plora"])
    with registered(takes_queue=False) as worker:
        experiment, [run_id] = queue.create(config, worker_id=worker.id)
        queue.pause(experiment)
        assert execute([run_id], worker) == ["paused"]
        assert (reads.run(run_id).rounds_done, engine) == (1, ["open"])
        queue.go_on(experiment)
        assert execute([run_id], worker) == ["done"]
    assert engine == ["open", "close"]
    told = [event.text for event in reads.events(run_id) if "Starting the clients" in event.text]
    assert told == ["Starting the clients on ray: this can take a minute."]


def test_an_engine_that_does_not_start_fails_its_runs_with_the_reason(tiny, monkeypatch):
    @contextmanager
    def broken(run, tell):
        raise RunFailed("Flower's SuperLink has not started")
        yield

    monkeypatch.setitem(execution._ENGINES, "ray", broken)
    with registered(takes_queue=False) as worker:
        _, runs = queue.create(changed(tiny, runtime="ray"), worker_id=worker.id)
        assert execute(runs, worker) == ["failed", "failed"]
    assert {reads.run(run).error for run in runs} == {"Flower's SuperLink has not started"}


def test_a_run_that_is_stopped_while_its_engine_starts_is_stopped(tiny, monkeypatch):
    @contextmanager
    def slow(run, tell):
        writes.request_stop(run.run)
        while True:
            check_wanted()
        yield

    monkeypatch.setitem(execution._ENGINES, "ray", slow)
    with registered(takes_queue=False) as worker:
        config = changed(tiny, runtime="ray", strategies=["plora"])
        _, runs = queue.create(config, worker_id=worker.id)
        assert execute(runs, worker) == ["stopped"]


def test_a_runtime_changes_when_no_run_is_at_work(tiny):
    with registered(takes_queue=False) as worker:
        _, [one, other] = queue.create(tiny, worker_id=worker.id)
        writes.start_run(other)
        with pytest.raises(queue.NotPossible, match="is running; its runtime can change"):
            queue.resume(one, "ray")
        writes.end_run(other, "failed", error="x", wall_seconds=1.0, peak_rss_mb=1.0)
        with pytest.raises(ConfigError, match="runtime: "):
            queue.resume(other, "moon")
        queue.resume(other, "ray")
    assert reads.run(other).experiment.config["runtime"] == "ray"
