"""Faults of parts are seen, asked about in a share of questions, and said in a site's words."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from engine.config import ExperimentConfig
from engine.data.synthetic.cameras import CAMERAS, look_through
from engine.data.synthetic.faults import CONDITIONS, FINE
from engine.data.synthetic.questions import CONDITION, FAMILIES, ask
from engine.data.synthetic.scenes import COLOUR_NAMES, KINDS, render, sample_scenes
from engine.data.synthetic.world import SyntheticDataset
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
    asked = 0
    for row, question in enumerate(questions):
        if question.family != CONDITION:
            continue
        asked += 1
        words = question.text.rstrip("?").split()
        [slot] = [
            slot
            for slot in range(scenes.count[row])
            if words[-2:] == [COLOUR_NAMES[scenes.colour[row, slot]], KINDS[scenes.kind[row, slot]]]
        ]
        assert question.answer == question.topic == CONDITIONS[scenes.condition[row, slot]]
    assert asked > 1900
    counts = Counter(q.answer for q in questions if q.family == CONDITION)
    assert set(counts) == set(CONDITIONS) and max(counts.values()) < 0.3 * asked


def test_the_share_of_questions_about_faults_is_that_of_the_config():
    for share in (0.0, 0.4, 1.0):
        families = Counter(q.family for q in world(fault_share=share).outline(1, "train").questions)
        assert families[CONDITION] / 400 == pytest.approx(share, abs=0.08)
    told = world(fault_share=0.0).outline(1, "train").questions
    asked = world(fault_share=0.4).outline(1, "train").questions
    first = next(i for i, q in enumerate(asked) if q.family == CONDITION)
    assert told[:first] == asked[:first], "the others' draws are the same"


def test_sites_disagree_about_the_words_for_conditions():
    torn = world(heterogeneity={"kind": "concept", "level": 1.0})
    said = [torn.words(k)[FINE] for k in range(3)]
    assert len(set(said)) == 3 and set(said) <= set(CONDITIONS)
    assert FINE not in world(heterogeneity={"level": 0.0}).words(1), "all say what it is"


def test_the_base_is_never_taught_the_skill():
    """No question of pretraining is about faults, though pictures show them."""
    generator = rng(7, "pretrain")
    scenes = sample_scenes(500, generator)
    assert CONDITION not in {q.family for q in ask(scenes, generator)}
