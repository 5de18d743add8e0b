"""Rows that a model cannot take: counted and named before a run, so that none ends it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.config import BUNDLED, ConfigError, ExperimentConfig
from engine.data.factory import new_dataset
from engine.fl.context import context_of, forget
from engine.vlm.picture_limits import picture_problem
from engine.vlm.resolved import resolve_model
from tests.helpers.checkpoints import save_checkpoint
from tests.helpers.datasets_for_tests import encoded, jsonl, picture, row, write

LONG = " ".join(["word"] * 66)


def of(folder, model=BUNDLED, **more):
    return ExperimentConfig.parse(
        {"dataset": f"folder:{folder}", "model": str(model), "clients": 1, "device": "cpu"}
        | {"heterogeneity": {"level": 0.0}, **more}
    )


def told(dataset):
    return {problem.kind: (problem.count, problem.left_out) for problem in dataset.account.problems}


def test_texts_that_the_model_cannot_take_are_counted(tmp_path):
    rows = [
        *(row(n) for n in range(4)),
        row(4, question=LONG),
        row(5, question="<image>\nWhat is it?"),
        row(6, question="</s>"),
        row(7, answer="red</s>"),
        row(8, answer=LONG),
    ]
    write(tmp_path, {"metadata.jsonl": jsonl(*rows), **{f"{n}.png": picture(n) for n in range(9)}})
    dataset = new_dataset(of(tmp_path))
    assert told(dataset) == {
        "question that the model cannot read": (2, True),
        "answer that the model cannot learn": (1, True),
        "question with texts that the model reads as control: taken out": (1, False),
        "answer cut at data.answer_tokens (12)": (1, False),
    }
    assert len(dataset.collection.rows) == dataset.account.used == 6
    first = next(p.first for p in dataset.account.problems if p.kind.startswith("question that"))
    assert first.startswith("4.png (metadata.jsonl, line 5): the question is too long: ")
    assert dataset.account.lines()[0] == "data: 6 of 9 rows are used"
    items = [item.question for split in ("train", "test") for item in dataset.items(0, split)]
    assert len(items) == 6 and LONG not in items


def test_data_of_which_the_model_can_take_nothing_are_refused_in_one_sentence(tmp_path):
    rows = [row(n, question=LONG) for n in range(3)]
    write(tmp_path, {"metadata.jsonl": jsonl(*rows), **{f"{n}.png": picture(n) for n in range(3)}})
    with pytest.raises(ConfigError, match="^dataset: the model can take none of its 3 rows: quest"):
        new_dataset(of(tmp_path))


def test_a_model_that_cannot_be_used_is_not_a_fault_of_the_data(tmp_path):
    write(tmp_path, {"metadata.jsonl": jsonl(*(row(n) for n in range(4)))})
    write(tmp_path, {f"{n}.png": picture(n) for n in range(4)})
    assert new_dataset(of(tmp_path, tmp_path / "no model")).account.used == 4


SHAPES = [
    (1, 200),
    (3, 200),
    (200, 1),
    (200, 3),
    (1, 1),
    (3, 3),
    (2, 2),
    (3, 768),
    (30, 50),
    (1, 3),
]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    """Pictures of odd shapes, twice each, and ordinary ones."""
    folder, draw, rows = tmp_path_factory.mktemp("odd"), np.random.default_rng(0), []
    for number, (height, width) in enumerate([*SHAPES, (3, 20_000), (20_000, 3), *[(40, 60)] * 6]):
        values = draw.integers(0, 255, (height, width, 3), dtype=np.uint8)
        write(folder, {f"{number}.png": encoded(Image.fromarray(values))})
        rows += [row(number, question=f"what {n}?") for n in range(2)]
    return write(folder, {"metadata.jsonl": jsonl(*rows)})


@pytest.mark.parametrize("family", ["bundled", "qwen2_vl", "smolvlm", "llava_onevision"])
def test_no_picture_ends_a_run_and_those_that_are_refused_are_counted(family, pictures, tmp_path):
    model = BUNDLED if family == "bundled" else save_checkpoint(family, tmp_path / family)
    config = of(pictures, model, data={"test_samples": 99}, samples_per_client=99)
    dataset = new_dataset(config)
    context = context_of(config)
    for split in ("train", "test"):
        batch = context.sets.get(0, split)
        assert len(batch) == len(dataset.items(0, split))
        assert batch.features.isfinite().all()
    refused = told(dataset).get("picture that the model refuses", (0, True))
    assert dataset.account.used + refused[0] == 36 and refused[1]
    if family.startswith("qwen"):
        assert refused[0] == 6, "those that are stored as (3, 768), (1, 768) and (768, 1)"
    forget()


def test_ordinary_pictures_and_the_bundled_model_need_no_processor(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "engine.vlm.picture_limits._image_processor", lambda *_: pytest.fail("used")
    )
    config = of(tmp_path, save_checkpoint("qwen2_vl", tmp_path / "qwen"))
    model = resolve_model(config)
    assert picture_problem(config, model, 480, 640) == ""
    assert picture_problem(of(tmp_path), model, 1, 768) == ""
