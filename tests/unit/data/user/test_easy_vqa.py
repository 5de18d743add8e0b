"""The public set easy-VQA goes the way of people's own data, its two parts apart."""

from __future__ import annotations

import easy_vqa

from engine.config import ExperimentConfig
from engine.data.factory import new_dataset
from engine.data.user.collection import collect
from engine.data.user.easy_vqa import easy_vqa_folder
from engine.presets import preset


def test_the_packages_questions_are_there_with_its_own_split(module_home):
    config = ExperimentConfig.parse(preset("easy-vqa"))
    collection = collect(config.dataset, config.data)
    assert easy_vqa_folder().is_relative_to(module_home)
    assert {row.split for row in collection.rows} == {"train", "test"}
    asked = {
        part: list(zip(questions, answers, numbers, strict=True))
        for part, (questions, answers, numbers) in {
            "train": easy_vqa.get_train_questions(),
            "test": easy_vqa.get_test_questions(),
        }.items()
    }
    known = {part: set(rows) for part, rows in asked.items()}
    for row in collection.rows:
        assert (row.question, row.answers[0], int(row.picture.stem)) in known[row.split]
    [left_out] = collection.problems
    assert left_out.kind == "more rows than data.rows"
    there = sum(len(questions) for questions in asked.values())
    assert len(collection.rows) + left_out.count == there


def test_clients_get_what_the_preset_says(module_home):
    config = ExperimentConfig.parse(preset("easy-vqa"))
    dataset = new_dataset(config)
    assert set(dataset.train_sizes()) == {config.samples_per_client}
    assert len({tuple(sorted(dataset.words(k).items())) for k in range(config.clients)}) > 3
    assert dataset.examples(0, "test", 1)[0].image.shape[-1] == 3
