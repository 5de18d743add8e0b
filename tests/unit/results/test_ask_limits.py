"""A question that the model cannot read is one sentence, whoever asks it."""

import numpy as np
import pytest

from engine.config import ExperimentConfig
from engine.jobs.queue import NotPossible
from engine.presets import preset
from engine.results.ask import ask
from tests.helpers.runs import run

PICTURE = np.zeros((96, 96, 3), np.uint8)


@pytest.fixture(scope="module")
def done(module_home):
    [summary] = run(ExperimentConfig.parse({**preset("tiny"), "strategies": ["fedit"]}))
    return summary.run


def test_markers_are_no_part_of_a_question(done):
    plain, marked = (ask(done, 0, PICTURE, q) for q in ("what is it?", "<image>\nwhat is it? </s>"))
    assert [answer.text for answer in plain] == [answer.text for answer in marked]


@pytest.mark.parametrize(("question", "words"), [
    ("and " * 60 + "which colour is the box?", "the question is too long: 66 tokens"),
    ("<image>", "nothing but what the model reads as control"),
])  # fmt: skip
def test_a_question_that_does_not_fit_is_one_sentence(done, question, words):
    with pytest.raises(NotPossible, match=words):
        ask(done, 0, PICTURE, question)
