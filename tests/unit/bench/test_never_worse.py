"""The statistics of ``bench methods --long``, on rows that are made up."""

from __future__ import annotations

import json

import numpy as np
import pytest

from engine.bench import long, results_file
from engine.bench.crossing import OURS
from engine.bench.long import Cost, Long, LongPlan, all_cells, plan_of
from engine.bench.long_report import as_dict, write_long
from engine.bench.never_worse import Cell, compare, compare_all, looks
from engine.bench.variance import variance_shares
from engine.config import ConfigError, ExperimentConfig
from engine.metrics.intervals import Interval

CELL = Cell("mixed", 1.0, 64)


def draws(mean: float, spread: float = 0.004, n: int = 20) -> list[float]:
    """Accuracies with this mean, of which every other one lies above it."""
    return [mean + spread * (-1) ** k for k in range(n)]


def drifting(mean: float, spread: float, n: int = 20) -> list[float]:
    """Accuracies that are not paired with those of ``draws``."""
    return [mean + spread * (1 if k < n / 2 else -1) for k in range(n)]


def test_a_method_must_hold_against_the_better_of_both():
    own = {"local": draws(0.80), "fedit": draws(0.60), "x": draws(0.795)}
    found = compare("x", own, 0.95)
    assert (found.against, found.draws, found.verdict) == ("local", 20, "holds")
    assert found.interval.mean == pytest.approx(-0.005)
    assert compare("x", own | {"x": draws(0.78)}, 0.95).verdict == "worse"
    assert compare("x", own | {"x": drifting(0.80, 0.05)}, 0.95).verdict == "open"


def test_the_better_of_both_is_named_however_far_its_draws_spread():
    own = {"local": drifting(0.70, 0.29), "fedit": draws(0.80), "x": draws(0.79)}
    found = compare("x", own, 0.95)
    assert found.intervals["local"].low < found.intervals["fedit"].low, "by its spread alone"
    assert found.against == "fedit" and found.interval.mean == pytest.approx(-0.01)


def test_a_method_holds_only_where_it_does_against_both():
    own = {"local": drifting(0.795, 0.06), "fedit": draws(0.80), "x": draws(0.80)}
    found = compare("x", own, 0.95)
    assert found.against == "fedit" and found.interval.low > -0.01
    assert found.verdict == "open"


def test_a_lone_draw_shows_nothing():
    own = {"local": [0.5], "fedit": [0.5], "x": [0.9]}
    assert compare("x", own, 0.95).verdict == "open"


def test_more_cells_and_more_looks_ask_for_more():
    own = {"local": draws(0.8), "fedit": draws(0.6), "x": drifting(0.802, 0.016)}
    few = compare_all("x", {CELL: own}, looks=1)[CELL]
    many = {Cell("mixed", 1.0, n): own for n in range(20)}
    assert few.verdict == "holds"
    assert {found.verdict for found in compare_all("x", many, looks=5).values()} == {"open"}
    assert Interval.of([0.1, 0.2, 0.3]).low > Interval.of([0.1, 0.2, 0.3], level=0.99).low


def test_looks_double_up_to_the_most():
    assert looks(10) == [10, 20, 40, 80, 160, 200]
    assert looks(3, 3) == [3] and looks(300) == [200]


def test_the_variance_is_split_as_it_was_made():
    generator = np.random.default_rng(0)
    tables = [
        generator.normal(0, 3, (6, 1))
        + generator.normal(0, 2, (1, 6))
        + generator.normal(size=(6, 6))
        for _ in range(200)
    ]  # fmt: skip
    shares = [variance_shares(table) for table in tables]
    parts = np.array([[s.partition, s.training, s.interaction] for s in shares])
    assert parts.sum(1) == pytest.approx(1)
    assert np.median(parts, 0) == pytest.approx([9 / 14, 4 / 14, 1 / 14], abs=0.06)
    rows_only = np.repeat([[0.1], [0.5], [0.4]], 3, axis=1)
    assert variance_shares(rows_only).partition == pytest.approx(1)
    assert variance_shares(rows_only.T).training == pytest.approx(1)
    assert variance_shares(np.ones((2, 2))).deviation == 0


def test_the_protocol_crosses_partitions_with_training_seeds_on_paired_draws():
    plan = LongPlan()
    assert len(plan.cells) == 22 and len(plan.strategies) == 10
    table = plan.crossings()["fedit"]
    assert {(c.seed, c.training_seed) for c in table.values()} == {
        (p, t) for p in range(4) for t in range(4)
    }
    of_cell = {
        (c.seed, c.heterogeneity.kind)
        for c in plan.configs()
        if c.samples_per_client == 256 and c.strategies == (OURS,) and c.training_seed == -1
        and c.heterogeneity.level == 1
    }  # fmt: skip
    assert len(of_cell) == 5 * 10
    halves = {c.local_steps for c in plan.configs() if c.strategies == ("tap",)}
    assert halves == {plan.base.local_steps // 2}


def test_a_training_seed_changes_the_start_and_the_batches_but_not_the_data():
    one, other = (ExperimentConfig(seed=3, training_seed=t) for t in (-1, 8))
    assert (one.drawn_from, other.drawn_from) == (3, 8)
    assert one.without_training() != other.without_training()


@pytest.mark.parametrize(
    ("lists", "words"),
    [
        ({"kinds": ["moon"]}, "heterogeneity.kind: "),
        ({"samples": ["2"]}, "samples_per_client: "),
        ({"strategies": ["fedit", OURS]}, "no local among"),
    ],
)
def test_a_wrong_plan_gives_a_sentence(lists, words):
    with pytest.raises(ConfigError, match=words):
        plan_of(lists, None, 200, ExperimentConfig())


def test_near_ties_get_more_draws_and_what_is_clear_gets_none(monkeypatch):
    clear, close = all_cells(["label", "mixed"], [1.0], [64])
    plan = LongPlan(cells=[clear, close], draws=10, most=40)
    both = {"local": draws(0.8, n=10), "fedit": draws(0.6, n=10)}
    own = {
        clear: {s: list(v) for s, v in (both | {OURS: draws(0.9, n=10)}).items()},
        close: {s: list(v) for s, v in (both | {OURS: drifting(0.8, 0.03, 10)}).items()},
    }
    asked = []

    def run_grid(_, configs):
        asked.append({(c.heterogeneity.kind, c.seed) for c in configs})
        return {config: 1 for config in configs}

    monkeypatch.setattr(long, "run_grid", run_grid)
    monkeypatch.setattr(long, "own_accuracy", lambda run: 0.8)
    long._add_draws(plan, own)
    assert asked[0] == {("mixed", seed) for seed in range(10, 20)}
    assert len(own[clear][OURS]) == 10 and len(own[close][OURS]) > 10
    assert compare_all(OURS, own, 3)[close].verdict == "holds" or len(own[close][OURS]) == 40


def test_the_page_and_the_results_say_where_ours_fails(tmp_path):
    good, bad = all_cells(["label", "mixed"], [1.0], [64])
    both = {"local": draws(0.8), "fedit": draws(0.6)}
    own = {
        good: both | {OURS: draws(0.81), "plora": draws(0.7)},
        bad: both | {OURS: draws(0.75), "plora": draws(0.81)},
    }
    plan = LongPlan(strategies=("local", "fedit", OURS, "plora"), cells=[good, bad], draws=20)
    shares = {"fedit": variance_shares(np.array([[0.1, 0.2], [0.4, 0.5]]))}
    costs = {OURS: Cost(2000.0, 2000.0, 1.5)}
    results = Long(plan, own, shares, costs)
    results_file.put({"worth": {"samples": 64}}, tmp_path)
    write_long(results, "python -m engine bench methods --long", tmp_path)
    stored = json.loads((tmp_path / "results.json").read_text())
    found = stored["never_worse"][OURS]
    assert (found["margin"], found["cells"], found["draws"]) == (0.01, 2, 20)
    [failing] = found["failing"]
    assert (failing["kind"], failing["against"], failing["verdict"]) == ("mixed", "local", "worse")
    assert stored["never_worse"]["plora"]["failing"][0]["kind"] == "label"
    assert stored["worth"] == {"samples": 64}, "what others have written stays"
    assert stored["variance"]["fedit"]["partition"] > 0.8
    assert as_dict(results)["long"]["cells"][0]["own"][OURS][0] == pytest.approx(0.814)
    page = (tmp_path / "NEVER_WORSE.md").read_text()
    assert "| `corners` | 1 | 0 | 1 | -2.0 | -5.0 (mixed 1, 64) |" in page
    assert "| mixed 1, 64 | 20 | `local` | -5.0 [-5.0, -5.0] | -5.0" in page and "| worse |" in page
