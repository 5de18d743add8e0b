"""The cross-client matrix and the newcomer, on tiny real runs."""

import json

import numpy as np
import pytest
import torch

from db import reads
from engine.adapters.adapter import A, Adapter, B
from engine.cli.main import app
from engine.fl.context import context_of
from engine.jobs.queue import NotPossible
from engine.results.analyze import (
    NEWCOMER_SAMPLES,
    _change,
    complete,
    cross_matrix,
    likeness,
    newcomer,
)
from engine.vlm.lora import side_by_side
from tests.helpers.runs import changed, run


@pytest.fixture(autouse=True)
def _few_steps(monkeypatch):
    monkeypatch.setattr("engine.results.analyze.NEWCOMER_STEPS", 24)


@pytest.fixture(scope="module")
def finished(tiny, module_home):
    return run(
        changed(tiny, clients=3, samples_per_client=64, fault_share=0)
    )  # words take few steps


def test_the_diagonal_of_the_matrix_is_what_the_run_has_stored(finished):
    fedit, plora = finished
    for summary, variant in ((fedit, "global"), (plora, "personal")):
        crossed = complete(cross_matrix(summary.run))
        clients, matrix = crossed.clients, crossed.accuracy
        assert clients == [0, 1, 2]
        assert len(matrix) == 3 and all(len(row) == 3 for row in matrix)
        own = {
            row.client: row.accuracy
            for row in reads.evaluations(summary.run)
            if (row.round, row.variant, row.scope) == (2, variant, "own")
        }
        assert [matrix[k][k] for k in range(3)] == pytest.approx([own[k] for k in range(3)])
    [first, _, last] = complete(cross_matrix(fedit.run)).accuracy
    assert first == last, "one model for all"


def test_the_matrix_is_of_the_clients_that_were_tested(tiny, monkeypatch):
    monkeypatch.setattr("engine.config.experiment.MOST_TESTED", 2)
    [summary] = run(changed(tiny, strategies=["fedit"], clients=5, rounds=1, seed=3))
    crossed = complete(cross_matrix(summary.run))
    clients, matrix = crossed.clients, crossed.accuracy
    assert sorted(reads.deployed_accuracies(summary.run, "own")) == clients
    assert len(clients) == len(matrix) == 2
    assert clients != [0, 1], "a draw, not the first"


def test_a_newcomer_starts_from_what_is_shared_and_learns(finished):
    found = complete(newcomer(finished[0].run))
    assert set(found.from_base) == set(found.from_shared) == set(NEWCOMER_SAMPLES)
    assert found.from_base[64] > found.base
    assert found.from_base[64] > found.from_base[4]
    assert complete(newcomer(finished[0].run)) == found, "the same every time"


def test_who_cannot_have_a_newcomer_is_told_why(tiny):
    [local] = run(changed(tiny, strategies=["local"], rounds=1))
    with pytest.raises(NotPossible, match="shares nothing"):
        complete(newcomer(local.run))
    values = {"heterogeneity": {"kind": "quantity", "level": 1}, "rounds": 1}
    [amounts] = run(changed(tiny, strategies=["fedit"], **values))
    with pytest.raises(NotPossible, match="amounts"):
        complete(newcomer(amounts.run))


def test_likeness_is_of_what_clients_keep(finished, tiny):
    alike = complete(likeness(finished[1].run))
    assert alike.clients == [0, 1, 2] and list(alike.cosines) == ["lora_A"]
    values = np.array(alike.cosines["lora_A"])
    assert np.diag(values) == pytest.approx(1, abs=1e-5) and np.allclose(values, values.T)
    assert abs(values[0, 1]) < 0.99, "clients that differ have learnt different things"
    with pytest.raises(NotPossible, match="keeps nothing"):
        complete(likeness(finished[0].run))


@pytest.mark.parametrize("factor", [A, B])
def test_of_two_adapters_the_clients_own_is_compared(tiny, factor):
    start = context_of(tiny).initial
    noise = torch.Generator().manual_seed(0)
    shared, own = (
        Adapter({name: v + torch.randn(v.shape, generator=noise) for name, v in start.items()})
        for _ in range(2)
    )
    change = _change(side_by_side(shared, own, 0.5), start, factor)  # 2 · 0.5 · B
    assert np.allclose(change, _change(own, start, factor), atol=1e-6)


def test_an_analysis_says_how_far_it_is(finished):
    for analysis in (cross_matrix, newcomer, likeness):
        shares = list(analysis(finished[1].run))
        assert shares == sorted(shares) and shares[0] > 0 and shares[-1] <= 1


def test_own_against_pooled_is_what_the_runs_have_stored(finished):
    points = reads.tradeoffs(finished[0].run)
    assert [(p.strategy, p.client) for p in points] == [
        (strategy, k) for strategy in ("fedit", "plora") for k in range(3)
    ]
    for summary in finished:
        mine = [p for p in points if p.run == summary.run]
        assert sum(p.own for p in mine) / 3 == pytest.approx(summary.personal_accuracy)
        assert sum(p.pooled for p in mine) / 3 == pytest.approx(summary.pooled_accuracy)
    assert len({p.pooled for p in points if p.strategy == "fedit"}) == 1, "one model, one set"


def test_all_are_on_the_command_line(finished, capsys):
    names = (("matrix", "accuracy"), ("newcomer", "from_shared"), ("tradeoff", "points"))
    for name, key in names:
        app([name, str(finished[1].run), "--json"], standalone_mode=False)
        assert key in json.loads(capsys.readouterr().out.splitlines()[-1])
