"""Scenes, questions, cameras and words of the embedded world."""

import hashlib
from collections import Counter

import numpy as np
import pytest

from engine.config import ExperimentConfig
from engine.data.synthetic.cameras import CAMERAS, look_through
from engine.data.synthetic.questions import FAMILIES, NUMBERS, PLACES, SIDES, ask, plural, topics
from engine.data.synthetic.scenes import (
    COLOUR_NAMES,
    COLUMNS,
    KINDS,
    MATERIALS,
    ROWS,
    SIZE,
    SIZES,
    render,
    sample_scenes,
)
from engine.data.synthetic.words import CIRCLES, client_words, say
from engine.data.synthetic.world import SyntheticDataset
from engine.pretraining.miniature import vocabulary
from engine.pretraining.recipe import Recipe
from engine.system.seeding import rng


def test_pictures_have_their_shape_and_show_their_objects():
    scenes = sample_scenes(120, rng(1, "scenes"))
    pictures = render(scenes)
    assert pictures.shape == (120, SIZE, SIZE, 3) and pictures.dtype == np.uint8
    red = np.flatnonzero((scenes.colour[:, 0] == COLOUR_NAMES.index("red")) & (scenes.count == 1))
    assert len(red)
    for row in red:
        x, y = int(scenes.x[row, 0] * SIZE), int(scenes.y[row, 0] * SIZE)
        around = pictures[row, y - 16 : y + 16, x - 16 : x + 16].reshape(-1, 3).astype(int)
        assert ((around[:, 0] - around[:, 1]) > 60).mean() > 0.08


def test_material_and_size_change_the_picture_and_nothing_else_does():
    one = sample_scenes(8, rng(5, "scenes"))
    assert (render(one) == render(one)).all()
    for name in ("material", "size", "kind", "colour"):
        values = vars(one) | {name: (getattr(one, name) + 1) % (2 if name == "material" else 3)}
        assert (render(type(one)(**values)) != render(one)).any((1, 2, 3)).all(), name


def test_the_world_is_as_rich_as_the_issue_asks():
    scenes = sample_scenes(500, rng(2, "scenes"))
    assert len(KINDS) >= 6 and len(COLOUR_NAMES) == 8 and len(MATERIALS) == 2 and len(SIZES) == 3
    assert set(scenes.count) == {1, 2, 3, 4, 5, 6}
    assert len(CAMERAS) >= 8 and len(FAMILIES) >= 8


def test_questions_have_answers_that_exist_and_are_balanced():
    generator = rng(2, "questions")
    scenes = sample_scenes(6000, generator)
    questions = ask(scenes, generator, np.arange(6000) % len(FAMILIES))
    known = {word for topic in topics() for word in topic.split()} | set(SIZES)
    commonest = {}
    for family in FAMILIES:
        answers = Counter(q.answer for q in questions if q.family == family)
        commonest[family] = max(answers.values()) / answers.total()
        assert answers.total() > 300
        assert {word for answer in answers for word in answer.split()} <= known
    assert {q.topic for q in questions} <= set(topics())
    assert max(commonest.values()) < 0.55  # yes or no, matt or shiny
    assert np.mean(list(commonest.values())) < 0.25
    assert all(commonest[f] < 0.2 for f in ("colour", "kind", "relation", "position"))


def place_of(thing: tuple) -> tuple[int, int]:
    row, column = thing[4].split()
    return COLUMNS.index(column), ROWS.index(row)


def test_answers_are_right():
    """Every question is answered again, from the scene alone, by reading its words."""
    generator = rng(3, "questions")
    scenes = sample_scenes(3000, generator)
    for row, question in enumerate(ask(scenes, generator)):
        things = [
            (KINDS[k], COLOUR_NAMES[c], MATERIALS[m], SIZES[s], PLACES[cell])
            for k, c, m, s, cell in zip(
                *(field[row, : scenes.count[row]].tolist() for field in (
                    scenes.kind, scenes.colour, scenes.material, scenes.size, scenes.cell)),
                strict=True,
            )
        ]  # fmt: skip
        words = question.text.rstrip("?.").replace(",", "").split()
        named = [t for t in things if t[1] in words and t[0] in words]
        match question.family:
            case "presence":
                assert question.answer == ("yes" if named else "no")
            case "colour":
                [found] = [t for t in things if t[0] in words]
                assert question.answer == found[1]
            case "kind":
                [found] = [t for t in things if t[1] in words]
                assert question.answer == found[0]
            case "material":
                assert question.answer == named[0][2] and len(named) == 1
            case "position":
                assert question.answer == named[0][4] and len(named) == 1
            case "count":
                wanted = [t for t in things if t[1] in words or plural(t[0]) in words]
                everything = question.text in ("How many things are there?", "Count the things.")
                assert question.answer == NUMBERS[len(things if everything else wanted)]
            case "relation":
                [thing] = [t for t in named if question.text.endswith(f"{t[1]} {t[0]}?")]
                [(dx, dy)] = [to for side, to in SIDES.items() if f" {side} " in question.text]
                x, y = place_of(thing)
                where = [(t, *place_of(t)) for t in things]
                [found] = [t for t, tx, ty in where if (tx - x) * dx + (ty - y) * dy > 0]
                assert question.answer == found[0]
            case "comparison" if "bigger" in words:
                pair = {t[0]: SIZES.index(t[3]) for t in things if t[0] in words}
                assert question.answer == max(pair, key=pair.get) and len(pair) == 2
            case "comparison":
                pair = Counter(t[1] for t in things if t[1] in words)
                assert question.answer == max(pair, key=pair.get) and len(pair) == 2
            case "description":
                [found] = [t for t in things if t[4] in question.text]
                assert question.answer == f"{found[3]} {found[2]} {found[1]} {found[0]}"


def test_no_pretraining_or_held_out_picture_is_a_clients():
    recipe = Recipe(scenes=1000)
    sets = [render(sample_scenes(recipe.scenes, rng(recipe.seed, "pretrain", "scenes")))]
    sets.append(render(sample_scenes(300, rng(0, "held out"))))
    data = SyntheticDataset(ExperimentConfig.parse({"heterogeneity": {"level": 0}}))
    sets += [
        np.stack([e.image for e in data.examples(k, split)])
        for k in range(4)
        for split in ("train", "test")
    ]
    seen = [hashlib.sha1(picture.tobytes()).digest() for pictures in sets for picture in pictures]
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize("camera", CAMERAS)
def test_cameras_keep_shape_and_change_more_with_strength(camera):
    pictures = render(sample_scenes(3, rng(3, "cameras")))
    assert (look_through(camera, pictures, 0.0, rng(0, "c")) == pictures).all()
    shown = {s: look_through(camera, pictures, s, rng(0, "c")) for s in (0.3, 1.0)}
    assert shown[1.0].shape == pictures.shape and shown[1.0].dtype == np.uint8
    weak, full = (np.abs(shown[s].astype(int) - pictures).mean() for s in (0.3, 1.0))
    assert (weak == full == 0) if camera == "day" else 2 < weak < full
    # Objects stand out against the bin at every strength: nothing ends in plain grey.
    assert min(picture.std() for s in shown for picture in shown[s]) > 4


def test_eight_sites_have_eight_vocabularies_in_which_no_two_agree():
    sites = [client_words(0, site, 1.0) for site in range(8)]
    for thing in (*COLOUR_NAMES, *KINDS):
        assert len({words[thing] for words in sites}) == 8
    changed = [
        sum(client_words(0, 1, level).get(w, w) != w for w in COLOUR_NAMES) for level in (0, 0.5, 1)
    ]
    assert changed == [0, 4, 8]


def test_every_vocabulary_is_one_to_one_and_swaps_neighbours_first():
    for level in (0.25, 0.5, 1.0):
        for site in range(8):
            words = client_words(3, site, level)
            for circle in CIRCLES.values():
                assert len({words.get(neutral, neutral) for neutral in circle}) == len(circle)
    words = client_words(3, 1, 0.25)
    [one, other] = [c for c in COLOUR_NAMES if words.get(c, c) != c]
    assert words[one] == other and words[other] == one
    assert (COLOUR_NAMES.index(other) - COLOUR_NAMES.index(one)) % 8 in (1, 7)


def test_a_long_answer_is_said_word_by_word_and_the_model_knows_every_word():
    words = client_words(0, 1, 1.0)
    said = say("small matt red box", words)
    assert said == f"small dull {words['red']} {words['box']}"
    assert say("top left", words).startswith("bay ")
    known = set(vocabulary())
    for site in range(8):
        spoken = client_words(0, site, 1.0)
        assert {w for topic in topics() for w in say(topic, spoken).split()} <= known
