"""Curves over what was swept: means, bands and paired differences of accuracies put in by hand."""

from __future__ import annotations

import json

import pytest

from db import sweeps
from engine.jobs import sweeps as sweeping
from engine.metrics.intervals import DIFFERENCE, SHARE, Interval
from engine.results.sweep import sweep_result
from tests.helpers.runs import changed
from tests.helpers.sweeps import OWN, accuracy, made_up_sweep
from tests.unit.cli.test_cli import call

LEVELS = [0.0, 0.5]


@pytest.fixture
def sweep(tiny) -> int:
    """Two levels in three draws; the last draw of pLoRA at the second level is not done."""
    over = {"heterogeneity.level": LEVELS}
    config = changed(tiny, strategies=list(OWN), repeats=3, seed=5, sweep=over)
    return made_up_sweep(config, but=1)


def test_a_line_is_the_mean_over_draws_with_its_interval(sweep):
    result = sweep_result(sweep)
    assert result.values == [{"heterogeneity.level": level} for level in LEVELS]
    assert (result.seeds, result.strategies) == ([5, 6, 7], list(OWN))
    for strategy, line in result.lines.items():
        for number, cell in enumerate(line):
            draws = 2 if (strategy, number) == ("plora", 1) else 3
            reached = [accuracy(strategy, number, k) for k in range(draws)]
            assert list(cell.by_seed.values()) == pytest.approx(reached)
            expected = Interval.of(reached, SHARE)
            assert cell.interval.mean == pytest.approx(expected.mean)
            assert cell.interval.low == pytest.approx(expected.low)
            assert len(cell.draws) == 3, "what is not done is there without an accuracy"
    waiting = result.lines["plora"][1].draws[2]
    assert (waiting.seed, waiting.status, waiting.accuracy) == (7, "queued", None)


def test_differences_are_paired_by_draw(sweep):
    gaps = sweep_result(sweep).gaps
    assert list(gaps) == [("fedit", "local"), ("plora", "local"), ("plora", "fedit")]
    at_0, at_half = gaps["plora", "local"]
    assert (at_0.draws, at_half.draws) == (3, 2)
    expected = Interval.of([0.1, 0.08, 0.06], DIFFERENCE)
    assert (at_0.interval.mean, at_0.interval.low) == (
        pytest.approx(expected.mean), pytest.approx(expected.low),
    )  # fmt: skip
    assert gaps["fedit", "local"][0].interval.mean == pytest.approx(-0.1)


def test_the_command_prints_it_and_gives_it_as_json(sweep, capsys, started):
    status, out, _ = call(capsys, "sweep", str(sweep), "--json")
    told = json.loads(out)
    assert status == 0 and told == json.loads(json.dumps(sweep_result(sweep).to_dict()))
    assert told["axes"] == {"heterogeneity.level": LEVELS} and len(told["cells"]) == 6
    status, out, _ = call(capsys, "sweep", str(sweep))
    assert status == 0 and "plora over local" in out and "62.0" in out and "+8.0" in out


def test_a_sweep_that_is_not_there_is_one_line(capsys):
    for arguments in (["sweep", "99"], ["sweep", "99", "resume"]):
        status, out, err = call(capsys, *arguments)
        assert (status, out, err) == (2, "", "error: there is no sweep 99\n")


def test_a_sweep_of_draws_alone_has_one_value(tiny):
    result = sweep_result(sweeping.create(changed(tiny, repeats=2)))
    assert result.values == [{}] and [len(cell.draws) for cell in result.cells] == [2, 2]
    assert all(cell.interval is None for cell in result.cells)
    assert [gap.interval for gap in result.differences] == [None]


def test_submit_names_the_sweep_its_experiments_and_runs(capsys, started):
    arguments = ("submit", "--preset", "tiny", "--set", "sweep.lora.rank=1,2", "--json")
    status, out, _ = call(capsys, *arguments)
    assert status == 0 and started
    assert json.loads(out) == {"sweep": 1, "experiments": [1, 2], "runs": [1, 2, 3, 4]}
    for word, status_of_first in (("stop", "stopped"), ("resume", "queued")):
        assert call(capsys, "sweep", "1", word)[0] == 0
        assert sweeps.runs(1)[0].status == status_of_first
