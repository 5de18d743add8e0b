"""Scikit-learn's digits go the way of people's own data."""

from __future__ import annotations

from collections import Counter

import pytest

from engine.config import ExperimentConfig
from engine.data.factory import new_dataset
from engine.data.user.collection import collect
from engine.data.user.digits import NAMES, digits_folder
from engine.presets import preset


@pytest.fixture(scope="module")
def config(module_home) -> ExperimentConfig:
    return ExperimentConfig.parse(preset("digits"))


def test_all_1797_are_there_once_and_written_once(config, module_home):
    collection = collect(config.dataset, config.data)
    assert len(collection.rows) == 1797 and not collection.problems
    assert set(Counter(row.answers[0] for row in collection.rows)) == set(NAMES)
    before = (digits_folder() / "metadata.csv").stat().st_mtime_ns
    assert (digits_folder() / "metadata.csv").stat().st_mtime_ns == before
    assert digits_folder().is_relative_to(module_home)


def test_clients_differ_by_words_in_the_preset_and_by_amounts_if_asked(config):
    words = new_dataset(config)
    assert len({tuple(sorted(words.words(k).items())) for k in range(config.clients)}) > 3
    assert set(words.train_sizes()) == {160}
    image = words.examples(0, "test", 1)[0].image
    assert image.shape == (96, 96, 3) and image.max() > 200 > 60 > image.min()
    values = {**preset("digits"), "heterogeneity": {"kind": "quantity", "level": 0.8}}
    amounts = new_dataset(ExperimentConfig.parse(values)).train_sizes()
    assert amounts.max() > 2 * amounts.min()
