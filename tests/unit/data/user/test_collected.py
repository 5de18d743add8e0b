"""Clients of data that people bring: what they see, what they say, and what the data settle."""

import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.config import ConfigError, ExperimentConfig
from engine.data.distance import distances_without_pictures
from engine.data.factory import new_dataset
from engine.data.user import collection as data_module
from engine.data.user.collection import Row
from engine.data.user.dataset import UserDataset, circle_of
from engine.jobs.validate import complete
from engine.metrics import normalised
from engine.vlm.limits import LONGEST_SIDE
from tests.helpers.made_up import SITES, collection, config

SIZES = ((40, 30), (30, 50), (64, 64))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    draw = np.random.default_rng(0)
    for i in range(40):
        w, h = SIZES[i % 3]
        image = Image.fromarray(draw.integers(0, 255, (h, w, 3), dtype=np.uint8))
        image.save(tmp_path / f"{i}.png")
    return tmp_path


def dataset(pictures, kind="natural", level=1.0, *, n=120, more=None, **values):
    return UserDataset(
        collection(n, folder=pictures, **(more or {})), config(kind, level, **values)
    )


def test_examples_are_the_rows_of_the_collection(pictures):
    data = dataset(pictures)
    for k, name in enumerate(SITES):
        assert data.profile(k).name == name
        for split in ("train", "test"):
            items, examples = data.items(k, split), data.examples(k, split)
            assert [item.item for item in items] == [f"{k}-{split}-{i}" for i in range(len(items))]
            assert len(examples) == len(items) > 0
            by_question = {row.question: row for row in data.collection.rows}
            for item, example in zip(items, examples, strict=True):
                row = by_question[item.question]
                assert row.client == name and item.references == row.answers
                assert item.answer == row.answers[0]
                assert item.family == row.question.split()[0].lower()
                with Image.open(row.picture) as image:
                    assert np.array_equal(example.image, np.asarray(image))
                assert {**vars(example), "image": None} == {**vars(item), "image": None}
            assert [vars(e)["item"] for e in data.examples(k, split, 3)] == [
                item.item for item in items[:3]
            ]


def test_pictures_are_read_only_when_somebody_looks(pictures):
    data = dataset(pictures / "nothing here")
    assert data.items(0, "train") and data.profile(0).train_samples and data.key(0, "test")
    assert distances_without_pictures(data)
    with pytest.raises(ConfigError, match=r"dataset: the picture \d+\.png cannot be read"):
        data.examples(0, "train", 1)
    with pytest.raises(IndexError, match="0 to 3"):
        data.items(4, "train")


def test_questions_about_a_picture_share_its_pixels(pictures):
    examples = dataset(pictures, clients=1, level=0).examples(0, "train")
    assert len({id(e.image) for e in examples}) < len(examples)


def test_large_pictures_are_shrunk_and_small_ones_are_not(pictures):
    Image.new("RGB", (2000, 1000), "red").save(pictures / "0.png")
    data = dataset(pictures, clients=1, level=0)
    sizes = {e.image.shape for split in ("train", "test") for e in data.examples(0, split)}
    assert (LONGEST_SIDE // 2, LONGEST_SIDE, 3) in sizes
    assert {(h, w, 3) for w, h in SIZES} <= sizes


def test_each_client_sees_through_its_own_camera(pictures):
    day, seen = (
        dataset(pictures, "domain", level, n=400, more={"per_picture": 10}, clients=8)
        for level in (0, 1)
    )
    for k in range(8):
        assert day.profile(k).camera == "day"
        through = {e.question: e.image for e in seen.examples(k, "train")}
        again = {e.question: e.image for e in seen.examples(k, "train")}
        assert all((through[q] == again[q]).all() for q in through), "noise comes from the seed"
        clean = {e.question: e.image for e in day.examples(k, "train")}
        assert set(through) == set(clean)
        for question, one in through.items():
            two = clean[question]
            assert one.shape == two.shape and one.dtype == np.uint8
            assert (one == two).all() == (seen.profile(k).camera == "day")
    assert len({seen.profile(k).camera for k in range(8)}) == 8


def test_clients_say_other_words_and_references_follow(pictures):
    plain, named = (dataset(pictures, "concept", level, n=400) for level in (0, 1))
    assert plain.words(1) == named.words(0) == {}
    circle = circle_of(plain.collection.rows)
    assert len(circle) == 12 - 1, "the long answer is not passed round"
    for k in (1, 2, 3):
        words = named.words(k)
        assert sorted(words) == sorted(map(normalised, words.values())), "a permutation"
        assert set(words.values()) == set(circle) and all(a != b for a, b in words.items())
        assert named.profile(k).words == words
        for one, two in zip(plain.items(k, "test"), named.items(k, "test"), strict=True):
            assert two.answer == words.get(one.answer, one.answer)
            assert two.references == tuple(words.get(a, a) for a in one.references)
        assert named.accepted_by(k, k, "test", 0) == named.items(k, "test")[0].accepted
        assert named.accepted_by(0, k, "test", 0) == plain.items(k, "test")[0].accepted
        assert Counter(plain.profile(k).answers.values()) == Counter(
            named.profile(k).answers.values()
        )
    spoken = {named.words(k).get("red", "red") for k in range(4)}
    assert len(spoken) == 4


@pytest.mark.parametrize(("level", "moved"), [(0.0, 0), (0.25, 3), (0.5, 6), (1.0, 11)])
def test_the_dial_is_the_share_of_words_that_differ(pictures, level, moved):
    assert len(dataset(pictures, "concept", level, n=400).words(1)) == moved


def test_all_that_count_as_right_are_renamed():
    rows = tuple(
        Row(Path(f"/p/{i}.png"), "What colour?", answers)
        for i, answers in enumerate([("Red", "red", "crimson"), ("Blue.", "navy")] * 20)
    )
    data = UserDataset(
        replace(collection(0, sites={}), rows=rows), config("concept", 1.0, clients=2)
    )
    found = {item.references for item in data.items(1, "train")}
    assert found == {("Blue.", "Blue.", "crimson"), ("Red", "navy")}


def test_the_circle_is_of_the_commonest_short_answers_by_kind_of_question():
    rows = [Row(Path("p"), "Is it?", (answer,)) for answer in ("yes", "Yes", "yes", "no", "The No")]
    rows += [Row(Path("p"), "What?", (f"thing {i}",)) for i in range(20) for _ in range(1 + i % 9)]
    rows += [Row(Path("p"), "What?", ("much too long an answer",))] * 50
    circle = circle_of(rows)
    assert len(circle) == 12
    assert circle[0] == "thing 12" and "thing 8" in circle and "thing 0" not in circle
    rows += [Row(Path("p"), "Is it?", ("yes",))] * 9 + [Row(Path("p"), "Is it?", ("no",))] * 9
    assert circle_of(rows)[:2] == ["no", "yes"]
    assert circle_of([]) == []


def test_a_key_names_the_content(pictures):
    base = dataset(pictures, "mixed", 0.5)
    same, rows = dataset(pictures, "mixed", 0.5, rounds=99, name="other"), base.collection.rows
    keys = {(k, split): base.key(k, split) for k in range(4) for split in ("train", "test")}
    assert len(set(keys.values())) == 8
    assert all(same.key(*of) == key for of, key in keys.items())
    assert base.key(0, "pooled") == same.key(0, "pooled") not in keys.values()
    others = [
        dataset(pictures, "mixed", 0.6),
        dataset(pictures, "mixed", 0.5, seed=1),
        dataset(pictures, "mixed", 0.5, tested_on="validation"),
        UserDataset(
            replace(base.collection, rows=tuple(replace(r, content=r.picture.name) for r in rows)),
            base.config,
        ),
    ]
    for other in others:
        assert not {other.key(*of) for of in keys} & set(keys.values())
        assert other.key(0, "pooled") != base.key(0, "pooled")
    few = dataset(pictures, "mixed", 0.5, data={"test_samples": 2})
    assert few.key(1, "train") == keys[1, "train"] and few.key(1, "test") != keys[1, "test"]


def test_distances_grow_with_what_differs():
    for kind, part in (
        ("natural", "answers"),
        ("label", "answers"),
        ("task", "questions"),
        ("concept", "words"),
        ("quantity", "amounts"),
    ):
        data = collection(1200)
        if kind == "natural":  # where sites differ in what they answer
            rows = [replace(row, answers=(row.client,)) for row in data.rows]
            data = replace(data, rows=tuple(rows))
        found = [
            distances_without_pictures(
                UserDataset(data, config(kind, level, samples_per_client=128))
            )
            for level in (0, 0.5, 1)
        ]
        near, middle, far = (distances[part] for distances in found)
        assert near < 0.03 and near < middle < far, (kind, near, middle, far)
        assert set(found[0]) == {"answers", "words", "questions", "amounts"}


def test_the_pooled_test_set_has_some_of_everyone(pictures):
    pooled = dataset(pictures).pooled_test()
    assert {example.item.split("-")[0] for example in pooled} == set("0123")


def test_a_config_that_names_data_gets_them(pictures, monkeypatch):
    data = collection(120, folder=pictures, metric="rouge_l")
    asked = []
    monkeypatch.setattr(data_module, "collect", lambda *args: asked.append(args) or data)
    made = new_dataset(config())
    assert isinstance(made, UserDataset)
    assert asked == [("folder:made-up", config().data)]


def test_the_data_settle_metric_and_clients(monkeypatch):
    data = collection(metric="vqa")
    monkeypatch.setattr(data_module, "collect", lambda *_: data)
    asked = config(clients=2)
    found = complete(asked, {"dataset"})
    assert (found.data.metric, found.clients) == ("vqa", 4)
    assert found == asked.model_copy(
        update={"clients": 4, "data": asked.data.model_copy(update={"metric": "vqa"})}
    )
    assert complete(found, set()) == found
    assert complete(asked, {"clients"}).clients == 2
    assert complete(config("label", clients=2), set()).clients == 2
    given = ExperimentConfig.parse({**asked.model_dump(), "data": {"metric": "token_f1"}})
    assert complete(given, set()).data.metric == "token_f1"

    data = collection(sites={})
    assert complete(asked, set()).clients == 2
    data = collection(2000, sites={f"site {i}": 0.01 for i in range(100)})
    assert complete(asked, set()).clients == 64


def test_the_world_settles_by_itself():
    found = complete(ExperimentConfig(), set())
    assert found.data.metric == "exact"
    assert found.model_copy(update={"data": ExperimentConfig().data}) == ExperimentConfig()


def test_neither_needs_torch():
    code = (
        "import sys; import engine.data.user.dataset, engine.metrics, engine.jobs.validate;"
        "engine.metrics.METRICS['rouge_l'].score('a', ('a',)); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
