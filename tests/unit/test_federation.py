import hashlib

import numpy as np
import pytest

from engine.config import ExperimentConfig
from engine.federation.cameras import CAMERAS, look_through
from engine.federation.federation import Federation
from engine.federation.questions import FAMILIES, ask, neutral_answers
from engine.federation.scenes import COLOUR_NAMES, SIZE, render, sample_scenes
from engine.federation.words import HOUSE, site_words
from engine.randomness import rng


def federation(kind="mixed", level=0.8, **values) -> Federation:
    return Federation(
        ExperimentConfig.parse({"heterogeneity": {"kind": kind, "level": level}, **values})
    )


def test_pictures_have_their_shape_and_show_their_objects():
    scenes = sample_scenes(50, rng(1, "scenes"))
    pictures = render(scenes)
    assert pictures.shape == (50, SIZE, SIZE, 3) and pictures.dtype == np.uint8
    red = np.flatnonzero((scenes.colour[:, 0] == COLOUR_NAMES.index("red")) & (scenes.count == 1))
    for row in red:
        x, y = int(scenes.x[row, 0] * SIZE), int(scenes.y[row, 0] * SIZE)
        around = pictures[row, y - 8 : y + 8, x - 8 : x + 8].reshape(-1, 3).astype(int)
        assert ((around[:, 0] - around[:, 1]) > 60).mean() > 0.3


def test_questions_have_answers_that_exist_and_are_balanced():
    generator = rng(2, "questions")
    questions = ask(sample_scenes(3000, generator), generator)
    assert {q.family for q in questions} == set(FAMILIES)
    assert {q.answer for q in questions} <= set(neutral_answers())
    presence = [q.answer == "yes" for q in questions if q.family == "presence"]
    assert 0.45 < np.mean(presence) < 0.55


def test_the_same_seed_gives_the_same_data_and_another_seed_does_not():
    first, again, other = federation(), federation(), federation(seed=1)
    for one, two, three in zip(
        first.client(2).train, again.client(2).train, other.client(2).train, strict=True
    ):
        assert one.question == two.question and one.answer == two.answer
        assert (one.image == two.image).all()
        assert (one.image != three.image).any()


def test_train_test_and_clients_never_share_a_picture():
    data = federation("concept", 1.0, clients=3)
    seen = [
        hashlib.sha1(example.image.tobytes()).hexdigest()
        for k in range(3)
        for example in (*data.client(k).train, *data.client(k).test)
    ]
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize("kind", ["label", "domain", "concept", "mixed"])
def test_level_zero_is_exactly_iid(kind):
    flat = federation(kind, 0.0)
    neutral = federation("concept", 0.0)
    for k in range(len(flat)):
        assert flat.camera(k) == "day" and flat.words(k) == HOUSE
        # The same draw as without any heterogeneity: level 0 changes nothing at all.
        for one, two in zip(flat.client(k).test, neutral.client(k).test, strict=True):
            assert one.answer == two.answer and (one.image == two.image).all()


def test_concept_gives_one_picture_and_question_different_answers():
    answers = {site_words(0, client, 1.0)["red"] for client in range(6)}
    assert len(answers) == 6
    changed = [
        sum(site_words(0, 1, level).get(w, w) != HOUSE.get(w, w) for w in COLOUR_NAMES)
        for level in (0, 0.5, 1)
    ]
    assert changed == sorted(changed) and changed[0] == 0 and changed[-1] == 6


def test_label_skew_grows_with_the_level():
    def distance(level: float) -> float:
        data = federation("label", level)
        mixes = []
        for k in range(4):
            counts = data.profile(k).answers
            mixes.append({a: n / sum(counts.values()) for a, n in counts.items()})
        keys = {answer for mix in mixes for answer in mix}
        return sum(abs(mixes[0].get(k, 0) - m.get(k, 0)) for m in mixes[1:] for k in keys)

    assert distance(0.0) < distance(0.5) < distance(1.0)


def test_a_fully_skewed_client_still_has_all_its_samples():
    data = federation("label", 1.0, samples_per_client=400, clients=12)
    assert {len(data.client(k).train) for k in range(12)} == {400}


@pytest.mark.parametrize("camera", CAMERAS)
def test_cameras_keep_shape_and_strength_zero_is_day(camera):
    pictures = render(sample_scenes(3, rng(3, "cameras")))
    assert (look_through(camera, pictures, 0.0, rng(0, "c")) == pictures).all()
    shown = look_through(camera, pictures, 1.0, rng(0, "c"))
    assert shown.shape == pictures.shape and shown.dtype == np.uint8
    assert camera == "day" or np.abs(shown.astype(int) - pictures).mean() > 4


def test_pooled_test_holds_the_same_number_of_every_client():
    pooled = federation().pooled_test()
    owners = [example.item.split("-")[0] for example in pooled]
    assert {owners.count(str(k)) for k in range(4)} == {16}


def test_a_client_that_does_not_exist_is_refused():
    with pytest.raises(IndexError, match="0 to 3"):
        federation().client(4)
