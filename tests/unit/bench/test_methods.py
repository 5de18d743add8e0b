"""``bench methods``: a grid that goes on where it ended, honest statistics, a generated report."""

from __future__ import annotations

import json
import math

import pytest

from db import reads, writes
from engine.bench import grid, methods
from engine.bench.crossing import difference
from engine.bench.grid import RunsFailed, run_grid
from engine.bench.methods import HEADLINE, Outcome, Plan, Results, measure
from engine.bench.methods_report import as_dict, share_differences, write_report
from engine.config import ConfigError, ExperimentConfig
from engine.data.synthetic.world import SyntheticDataset
from engine.metrics.intervals import Interval
from engine.results import example
from engine.strategies import STRATEGIES as RULES

STRATEGIES = ("fedit", "plora", "fedsa", "local", "feddpa")


def results(own: dict[str, list[float]], kinds=("mixed",), levels=(0.0, 1.0)) -> Results:
    """Made-up outcomes: every strategy reaches the same everywhere."""

    def outcome(strategy: str, kind: str, level: float) -> Outcome:
        values = own[strategy]
        clients = [[value - 0.1, value + 0.1] for value in values]
        worst = [value - 0.1 for value in values]
        runs = list(range(len(values)))
        return Outcome(
            strategy, kind, level, runs, values, values, worst, [0.1] * len(values), clients
        )

    plan = Plan(tuple(own), kinds, levels, len(own["fedit"]))
    cells = [outcome(s, k, level) for k in kinds for level in levels for s in own]
    rates = {s: dict.fromkeys(methods.LEARNING_RATES, 0.5) | {3e-3: 0.9} for s in own}
    alike = [outcome(s, "mixed", 0.0) for s in own if RULES[s].shared_factors]
    return Results(plan, rates, cells, [outcome(s, "mixed", 0.8) for s in own], alike)


def test_an_interval_is_students():
    found = Interval.of([1.0, 2.0, 3.0, 4.0, 5.0])
    half = 2.776445 * math.sqrt(2.5) / math.sqrt(5)
    assert (found.mean, found.low, found.high) == pytest.approx((3, 3 - half, 3 + half), rel=1e-5)
    assert Interval.of([0.5]) == Interval(0.5, None, None)
    assert difference([0.5, 0.7], [0.4, 0.6]).low == pytest.approx(0.1)
    assert (Interval(0.123, 0.1, 0.146).short(), Interval(0.5, None, None).short()) == (
        "12.3 ±2.3",
        "50.0",
    )
    assert Interval(0.123, 0.1, 0.15).points(sign=True) == "+12.3 [+10.0, +15.0]"


def test_the_headline_counts_gains_clients_and_worst_clients():
    found = results({"fedit": [0.5, 0.4], "plora": [0.75, 0.6]}).headline
    assert (found.mean, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))
    assert (found.seeds, found.clients_improved, found.clients) == (2, 4, 4)
    assert found.seeds_whose_worst_client_improved == 2
    assert results({"fedit": [0.5, 0.4]}).headline is None


def test_the_report_says_what_was_found_and_nothing_else(tmp_path):
    own = {"fedit": [0.5, 0.4], "plora": [0.75, 0.6], "fedsa": [0.9, 0.7], "feddpa": [0.2, 0.1]}
    found = results(own)
    assert share_differences(found)["mixed"].mean == pytest.approx(0.125)
    write_report(found, tmp_path)
    page = (tmp_path / "RESULTS.md").read_text()
    assert "gains **+50.0 [+50.0, +50.0] %**" in page and "2 seeds" in page
    assert "Neither is surely better (the interval holds 0) under `mixed` (+12.5" in page
    assert "The 4 methods that average" in page
    assert "lie within 65.0 points, from `feddpa` to `fedsa`. Here a client of `feddpa`" in page
    stored = json.loads((tmp_path / "results.json").read_text())
    assert stored == json.loads(json.dumps(as_dict(found)))
    assert set(stored["headline"]) >= {"mean", "low", "high", "seeds", "clients_improved"}
    assert stored["learning_rates"] == dict.fromkeys(own, 3e-3)


def test_the_whole_comparison_is_that_of_the_issue_and_a_smaller_one_has_no_more():
    whole = Plan.of({}, 5, ExperimentConfig())
    assert whole.strategies == ("fedit", "plora", "fedsa", "ffa", "local", "feddpa")
    assert whole.kinds == ("concept", "domain", "label", "task", "mixed")
    assert whole.levels == (0, 0.5, 1) and whole.tied == methods.AVERAGING
    assert {"fedprox", "rolora", "fedex", "flora", "hetlora", "flexlora"} <= set(whole.tied)
    assert not {"local", "zero-shot", "centralized"} & set(whole.tied)
    assert Plan.of({"strategies": ["fedit"]}, 1, ExperimentConfig()).tied == ()


def test_all_take_the_same_number_of_steps():
    plan = Plan.of({"strategies": list(STRATEGIES)}, 2, ExperimentConfig(local_steps=12))
    steps = {s: plan.config(s, 1e-3, 0).local_steps for s in STRATEGIES}
    assert steps == {"fedit": 12, "plora": 12, "fedsa": 12, "local": 12, "feddpa": 6}


@pytest.mark.parametrize(
    ("lists", "words"),
    [
        ({"strategies": ["best"]}, "strategies: "),
        ({"kinds": ["moon"]}, "heterogeneity.kind: "),
        ({"levels": ["2"]}, "heterogeneity.level: "),
    ],
)
def test_a_wrong_plan_gives_a_sentence(lists, words):
    with pytest.raises(ConfigError, match=words):
        Plan.of(lists, 1, ExperimentConfig())


@pytest.mark.slow
def test_a_grid_runs_once_and_is_measured_from_what_is_stored(tiny, monkeypatch):
    monkeypatch.setattr(methods, "LEARNING_RATES", (3e-3,))
    monkeypatch.setitem(HEADLINE, "clients", 2)
    base = tiny.model_copy(update={"rounds": 1, "local_steps": 1})
    lists = {"strategies": ["fedit", "plora"], "kinds": ["label", "mixed"], "levels": ["0", "1"]}
    plan = Plan.of(lists, 2, base)
    found = measure(plan)
    done = reads.done_runs()
    # 2 strategies x (2 kinds on validation sets + 2 seeds x (headline + 2 kinds at 1 + level 0)).
    assert len(done) == 2 * (2 + 2 * (1 + 2 + 1)) == len({run.id for run in done})
    cell = found.outcome("plora", "label", 1.0)
    for run, own, clients in zip(cell.runs, cell.own, cell.clients, strict=True):
        summary = reads.summary(run)
        assert (summary.strategy, summary.personal_accuracy) == ("plora", pytest.approx(own))
        assert min(clients) == summary.worst_client_accuracy
        config = ExperimentConfig.model_validate(reads.run(run).experiment.config)
        assert (config.heterogeneity.kind, config.tested_on) == ("label", "test")
    assert found.outcome("plora", "label", 0.0).runs == found.outcome("plora", "mixed", 0.0).runs
    monkeypatch.setattr(grid, "run_in_foreground", None)
    assert measure(plan) == found, "nothing is run twice"


def test_the_bundled_example_stands_for_no_measurement():
    example.install()
    assert reads.runs() and not reads.done_runs()


def test_runs_that_fail_are_named(tiny, monkeypatch):
    def fail(title, experiments):
        for config in experiments:
            values = config.model_dump(mode="json")
            _, [run_id] = writes.create_experiment(values, {config.strategies[0]: 2})
            writes.end_run(run_id, "failed", error="MemoryError")

    monkeypatch.setattr(grid, "_execute", fail)
    config = tiny.model_copy(update={"strategies": ("fedit",), "name": "unlucky"})
    with pytest.raises(RunsFailed, match="1 of 1 runs .* fedit on 'unlucky'"):
        run_grid("x", [config])


def test_validation_sets_are_of_the_same_kind_but_share_nothing(tiny):
    one, other = (
        SyntheticDataset(tiny.model_copy(update={"tested_on": split}))
        for split in ("test", "validation")
    )
    assert one.key(0, "train") == other.key(0, "train")
    assert one.items(0, "train") == other.items(0, "train")
    for split in ("test", "pooled"):
        assert one.key(0, split) != other.key(0, split)
    pictures = [{e.image.tobytes() for e in f.examples(1, "test")} for f in (one, other)]
    assert len(pictures[0]) == len(pictures[1]) == 48 and not pictures[0] & pictures[1]
    assert one.profile(1).words == other.profile(1).words
