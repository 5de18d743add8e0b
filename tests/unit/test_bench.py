"""The world bench, part by part on small numbers, and the cards that it writes."""

from typing import get_args

import pytest
from PIL import Image

from engine.bench import cards, world
from engine.bench.world import WorldReport
from engine.config import ExperimentConfig, HeterogeneityKind
from engine.federation.questions import FAMILIES
from engine.federation.scenes import COLOUR_NAMES
from engine.paths import ASSETS, BUNDLED_MODEL
from engine.workbench import workbench


@pytest.fixture(scope="module")
def vlm():
    bench = workbench(ExperimentConfig())
    bench.vlm.load_factors(bench.initial)
    return bench.vlm


def test_the_bundled_model_sees_and_does_not_guess(vlm):
    seeing = world.neutral_accuracy(vlm, seed=11, n=900)
    assert seeing["overall"] >= 0.92
    assert min(seeing[family] for family in FAMILIES) >= 0.85
    assert world.neutral_accuracy(vlm, seed=11, n=900, blind=True)["overall"] <= 0.45
    assert sum(f.stat().st_size for f in BUNDLED_MODEL.iterdir()) <= 12e6
    assert world.milliseconds_per_question(vlm, seed=11, repeats=3) > 0


def test_a_site_is_strange_at_first_and_training_helps():
    found = world.shifted_accuracy(seed=12, sites=2, steps=60)
    assert found["shifted_base"] <= 0.6
    assert found["shifted_local"] >= found["shifted_base"] + 0.1


def test_the_cards_hold_what_was_measured(monkeypatch, tmp_path):
    monkeypatch.setattr(cards, "ASSETS", tmp_path)
    distances = {kind: [0.0, 0.111, 0.222, 0.333, 0.444] for kind in get_args(HeterogeneityKind)}
    families = dict.fromkeys(FAMILIES, 0.987)
    cards.write_cards(WorldReport(0.963, families, 0.21, 9.5, 12.3, 0.31, 0.92, distances), seed=3)
    model, data = ((tmp_path / f"{name}_CARD.md").read_text() for name in ("MODEL", "DATA"))
    for figure in ("96.3 %", "98.7 %", "21.0 %", "9.5 MB", "12 ms", "31.0 %", "92.0 %", "--seed 3"):
        assert figure in model
    assert data.count("0.111 | 0.222 | 0.333 | 0.444") == len(distances)
    assert all(f"| {name} |" in data for name in (*COLOUR_NAMES, *FAMILIES))
    sheet = Image.open(tmp_path / "cameras.png")
    assert sheet.width > 700 and sheet.height > 800
    for path in ("MODEL_CARD.md", "DATA_CARD.md", "cameras.png"):
        assert (ASSETS / path).exists()
