"""What the answering process does with models, in this process."""

import numpy as np
import pytest

from engine.answering import operations, server, wire
from engine.config import ExperimentConfig
from engine.jobs.queue import NotPossible
from engine.vlm import loading
from tests.helpers.runs import run

IMAGE = np.zeros((48, 48, 3), np.uint8)


@pytest.fixture(scope="module")
def smolvlm(module_home, checkpoint) -> int:
    values = {"model": checkpoint("smolvlm"), "rounds": 1, "local_steps": 1, "clients": 2}
    config = {**values, "strategies": ["fedit"], "samples_per_client": 8}
    [summary] = run(ExperimentConfig.parse(config))
    return summary.run


def asked(run_id: int) -> wire.Question:
    text = wire.in_base64(IMAGE)
    return wire.Question(asker=1, run=run_id, clients=[0], image=text, question="What is it?")


def test_a_model_that_would_not_fit_beside_a_run_is_not_loaded(smolvlm, monkeypatch):
    operations.release()
    loading._alive.clear()
    with monkeypatch.context() as patch:
        patch.setattr(operations, "room", lambda _: 1000)
        with pytest.raises(NotPossible, match=r"needs about .* GB .* when no run is training"):
            operations.QUESTIONS["/ask"](asked(smolvlm), IMAGE)
        assert not loading._alive
    assert len(operations.QUESTIONS["/ask"](asked(smolvlm), IMAGE)) == 2


def test_a_model_without_cross_attention_shows_no_looks(smolvlm):
    assert operations.QUESTIONS["/looked"](asked(smolvlm), IMAGE) == {}


def test_out_of_memory_is_a_sentence_and_lets_models_go(smolvlm, monkeypatch):
    released = []
    monkeypatch.setattr(operations, "release", lambda: released.append(True))

    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setitem(operations.QUESTIONS, "/ask", full)
    desk = server.Desk()
    with pytest.raises(MemoryError) as fault:
        desk.answer("/ask", asked(smolvlm).model_dump_json().encode())
    assert "memory ran out" in server.sentence(fault.value) and released == [True]
    assert server.status_of(fault.value) == 500
