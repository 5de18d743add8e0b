"""Faults of parts are seen, asked about in a share of questions, and said in a site's words."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from engine.config import ExperimentConfig
from engine.data.synthetic.cameras import CAMERAS, look_through
from engine.data.synthetic.faults import CONDITIONS
from engine.data.synthetic.questions import CONDITION, FAMILIES, PLACES, Question, ask
from engine.data.synthetic.scenes import KINDS, render, sample_scenes
from engine.data.synthetic.words import say
from engine.data.synthetic.world import SyntheticDataset
from engine.pretraining.language import ask_about_faults
from engine.pretraining.recipe import Recipe
from engine.system.seeding import rng


def world(**values) -> SyntheticDataset:
    alike = {"heterogeneity": {"level": 0.0}}
    values = {"clients": 3, "samples_per_client": 400, **alike, **values}
    return SyntheticDataset(ExperimentConfig.parse(values))


@pytest.mark.parametrize("camera", CAMERAS)
def test_every_fault_is_seen_through_every_camera(camera):
    scenes = sample_scenes(24, rng(1, "scenes"))

    def pictures(condition: int) -> np.ndarray:
        seen = render(replace(scenes, condition=np.full_like(scenes.condition, condition)))
        return look_through(camera, seen, 1.0, rng(1, camera)).astype(int)

    fine = pictures(0)
    for condition in range(1, len(CONDITIONS)):
        changed = (np.abs(pictures(condition) - fine) > 24).any(-1).sum((1, 2))
        assert (changed > 10 * scenes.count).mean() > 0.9, CONDITIONS[condition]


def test_faults_leave_everything_else_as_it_was_drawn():
    scenes = sample_scenes(50, rng(4, "scenes"))
    generator = rng(4, "scenes")
    sample_scenes(50, generator)
    before = generator.random()
    cells = np.argsort(rng(4, "scenes").random((50, 9)), axis=1)[:, :6]
    assert (scenes.cell == cells).all(), "the first draw is still that of the cells"
    again = rng(4, "scenes")
    sample_scenes(50, again)
    assert again.random() == before
    shares = Counter(sample_scenes(2000, rng(5, "scenes")).condition.ravel().tolist())
    assert shares[0] == max(shares.values()) and len(shares) == len(CONDITIONS)


def test_a_condition_is_that_of_the_part_it_is_asked_of_and_conditions_are_balanced():
    generator = rng(6, "questions")
    scenes = sample_scenes(2000, generator)
    questions = ask(scenes, generator, np.full(2000, len(FAMILIES)))
    assert {question.family for question in questions} == {CONDITION}
    for row, question in enumerate(questions):
        place = PLACES.index(question.text.rstrip("?").partition(" at the ")[2])
        [slot] = np.flatnonzero(scenes.cell[row, : scenes.count[row]] == place)
        condition = CONDITIONS[scenes.condition[row, slot]]
        assert question.answer == f"{condition} {KINDS[scenes.kind[row, slot]]}"
        assert question.topic == condition
    counts = Counter(question.topic for question in questions)
    assert set(counts) == set(CONDITIONS) and max(counts.values()) < 0.3 * len(questions)


def test_the_share_of_questionsask_about_faults_is_that_of_the_config():
    for share in (0.0, 0.4, 1.0):
        families = Counter(q.family for q in world(fault_share=share).outline(1, "train").questions)
        assert families[CONDITION] / 400 == pytest.approx(share, abs=0.08)
    told = world(fault_share=0.0).outline(1, "train").questions
    asked = world(fault_share=0.4).outline(1, "train").questions
    first = next(i for i, q in enumerate(asked) if q.family == CONDITION)
    assert told[:first] == asked[:first], "the others' draws are the same"


def test_sites_agreeask_about_faults_and_name_the_part_in_their_own_words():
    torn = world(heterogeneity={"kind": "concept", "level": 1.0})
    said = [say("cracked box", torn.words(site)).split() for site in range(3)]
    assert {fault for fault, _ in said} == {"cracked"}, "what is to be learnt together"
    assert len({part for _, part in said}) == 3, "what each keeps"


def test_pretraining_never_asks_what_is_wrong_with_a_part():
    generator = rng(7, "pretrain")
    scenes = sample_scenes(500, generator)
    questions = ask(scenes, generator)
    ask_about_faults(questions, scenes, Recipe(), generator)
    asked = Counter(question.text.split()[0] for question in questions if is_of_faults(question))
    assert asked.keys() == {"Which", "Is"}, "a word of itself, and whether a part is fine"
    for question in questions:
        if is_of_faults(question) and question.text.startswith("Which"):
            assert question.text == f"Which condition is {question.answer}?"


def is_of_faults(question: Question) -> bool:
    """Return whether pretraining put it in place of another."""
    return question.family == CONDITION
