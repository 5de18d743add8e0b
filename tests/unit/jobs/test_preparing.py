"""What a waiting worker makes ready while the form is filled in."""

from datetime import timedelta

from db import reads, writes
from engine.fl.context import context_of
from engine.jobs import queue
from engine.jobs.prefetch import Prefetcher
from engine.jobs.validate import validate
from tests.helpers.runs import run


def test_the_worker_makes_ready_what_the_form_shows(tiny, monkeypatch):
    preparing = Prefetcher()
    assert preparing.step() is False, "nobody has asked"
    monkeypatch.setattr("engine.jobs.prefetch._SETTLED", timedelta(hours=1))
    queue.prepare(tiny)
    assert preparing.step() is False, "the form still moves"
    monkeypatch.setattr("engine.jobs.prefetch._SETTLED", timedelta(0))
    assert reads.preparation().ready_at is None
    while preparing.step():
        pass
    assert reads.preparation().ready_at

    def fail(*_):
        raise AssertionError("made after the press of Run")

    context = context_of(*validate(tiny))
    assert set(context.base_scores) == {0, 1}
    monkeypatch.setattr(context.dataset, "render", fail)
    monkeypatch.setattr(context.vlm, "encode", fail)
    [summary] = run(tiny.model_copy(update={"strategies": ("fedit",)}))
    assert summary.status == "done"


def test_a_fault_while_preparing_is_logged_and_the_worker_goes_on(tiny, monkeypatch, caplog):
    def fail(*_):
        raise MemoryError("no room")

    monkeypatch.setattr("engine.jobs.prefetch._SETTLED", timedelta(0))
    monkeypatch.setattr("engine.jobs.execution.context_of", fail)
    queue.prepare(tiny)
    preparing = Prefetcher()
    assert preparing.step() is False and "no room" in caplog.text
    assert preparing.step() is False
    writes.ask_to_prepare({"clients": "of an older version"}, {})
    assert preparing.step() is False and "ConfigError" in caplog.text
