"""The verdict: alone against shared against personalised, in words that the figures bear out."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from db import reads
from db.engine import writing
from db.tables import Prediction
from engine.cli.main import app
from engine.config import ExperimentConfig
from engine.jobs.queue import NotPossible
from engine.results.verdict import Comparison, verdict
from tests.helpers.runs import run

STRATEGIES = ["local", "fedit", "plora"]


def experiment_of(config: ExperimentConfig, **values) -> int:
    first, *_ = run(ExperimentConfig.parse({**config.model_dump(), **values}))
    return reads.run(first.run).experiment_id


@pytest.fixture(scope="module")
def finished(tiny, module_home) -> int:
    return experiment_of(tiny, strategies=STRATEGIES)


def test_accuracies_costs_and_what_left_the_site_are_those_of_the_runs(finished):
    judged = verdict(finished)
    assert judged.strategies == STRATEGIES and judged.draws == 1
    for stored in reads.runs_of(finished):
        summary = reads.summary(stored.id)
        assert judged.accuracy[stored.strategy] == pytest.approx(summary.personal_accuracy)
        cost = judged.costs[stored.strategy]
        assert (cost.bytes_up, cost.bytes_down) == (summary.bytes_up, summary.bytes_down)
    left = {key: cost.left_the_site for key, cost in judged.costs.items()}
    assert left == {"local": "nothing", "fedit": "A and B", "plora": "B"}
    assert set(judged.over) == {"fedit", "plora"} and set(judged.over["plora"]) == {
        "local",
        "fedit",
    }


def test_who_is_right_everywhere_gains_and_who_is_wrong_loses(finished):
    runs = {stored.strategy: stored.id for stored in reads.runs_of(finished)}
    with writing() as session:
        for key, right in (("local", False), ("fedit", False), ("plora", True)):
            wanted = session.query(Prediction).filter_by(run_id=runs[key])
            wanted.update({"correct": right})
    judged = verdict(finished)
    assert judged.over["plora"]["local"].verdict == "gains"
    assert judged.over["fedit"]["local"] == Comparison(
        0.0, judged.over["fedit"]["local"].low, judged.over["fedit"]["local"].high, "not sure"
    )
    for client in judged.clients:
        assert client.accuracy == {"local": 0.0, "fedit": 0.0, "plora": 1.0}
        assert client.over["plora"]["fedit"].verdict == "gains"
        assert -1 <= client.over["plora"]["fedit"].low <= 1
    with writing() as session:
        session.query(Prediction).filter_by(run_id=runs["fedit"]).update({"correct": True})
        session.query(Prediction).filter_by(run_id=runs["plora"]).update({"correct": False})
    assert verdict(finished).over["plora"]["fedit"].verdict == "loses"


def test_other_seeds_of_the_same_experiment_are_draws(tiny):
    first = experiment_of(tiny, strategies=["local", "plora"], rounds=1)
    for seed in (1, 2):
        experiment_of(tiny, strategies=["local", "plora"], rounds=1, seed=seed)
    experiment_of(tiny, strategies=["local"], rounds=1, seed=3)  # without a partner
    experiment_of(tiny, strategies=["local", "plora"], rounds=2, seed=4)  # another experiment
    judged = verdict(first)
    assert judged.draws == 3
    gains = []
    for stored in reads.done_runs():
        config = ExperimentConfig.model_validate(stored.experiment.config)
        if config.rounds == 1 and config.seed < 3:
            gains.append((config.seed, stored.strategy, reads.summary(stored.id)))
    plora = [s.personal_accuracy for _, strategy, s in sorted(gains, key=lambda g: g[0])
             if strategy == "plora"]  # fmt: skip
    assert judged.accuracy["plora"] == pytest.approx(sum(plora) / 3)


def test_the_command_prints_it_and_a_mistake_is_one_sentence(tiny, finished, monkeypatch):
    shown = CliRunner().invoke(app, ["verdict", str(finished), "--json"])
    found = json.loads(shown.stdout.splitlines()[-1])
    assert found["experiment"] == finished and found["draws"] == 1
    table = CliRunner().invoke(app, ["verdict", str(finished)], env={"COLUMNS": "160"})
    assert "federation" in table.stdout and "left the site" in table.stdout
    with pytest.raises(NotPossible, match="there is no experiment 999"):
        verdict(999)


def test_who_was_tested_in_no_run_but_one_is_not_judged(finished):
    [first, *_] = reads.runs_of(finished)
    with writing() as session:
        session.query(Prediction).filter_by(run_id=first.id).delete()
    with pytest.raises(NotPossible, match="no client of experiment"):
        verdict(finished)


def test_one_run_alone_has_nothing_to_compare_with(tiny):
    lonely = experiment_of(tiny, strategies=["fedit"], rounds=1)
    with pytest.raises(NotPossible, match="has 1 finished run"):
        verdict(lonely)
