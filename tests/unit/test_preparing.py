"""What a waiting worker makes ready while the form is filled in."""

from datetime import timedelta

from db import queries, records
from engine import launcher
from engine.preparing import Preparing
from engine.ready import ready
from engine.workbench import workbench
from tests.unit.runs import run


def test_the_worker_makes_ready_what_the_form_shows(tiny, monkeypatch):
    preparing = Preparing()
    assert preparing.step() is False, "nobody has asked"
    monkeypatch.setattr("engine.preparing._SETTLED", timedelta(hours=1))
    launcher.prepare(tiny)
    assert preparing.step() is False, "the form still moves"
    monkeypatch.setattr("engine.preparing._SETTLED", timedelta(0))
    assert queries.preparation().ready_at is None
    while preparing.step():
        pass
    assert queries.preparation().ready_at

    def fail(*_):
        raise AssertionError("made after the press of Run")

    bench = workbench(ready(tiny))
    assert set(bench.base_marks) == {0, 1}
    monkeypatch.setattr(bench.federation, "paint", fail)
    monkeypatch.setattr(bench.vlm, "encode", fail)
    [summary] = run(tiny.model_copy(update={"strategies": ("fedit",)}))
    assert summary.status == "done"


def test_a_fault_while_preparing_is_logged_and_the_worker_goes_on(tiny, monkeypatch, caplog):
    def fail(config):
        raise MemoryError("no room")

    monkeypatch.setattr("engine.preparing._SETTLED", timedelta(0))
    monkeypatch.setattr("engine.workbench.workbench", fail)
    launcher.prepare(tiny)
    preparing = Preparing()
    assert preparing.step() is False and "no room" in caplog.text
    assert preparing.step() is False
    records.ask_to_prepare({"clients": "of an older version"})
    assert preparing.step() is False and "ValidationError" in caplog.text
