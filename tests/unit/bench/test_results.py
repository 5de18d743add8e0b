"""The published figures follow from the published accuracies, and from no others."""

from __future__ import annotations

import json

import pytest

from engine.bench.crossing import difference
from engine.bench.methods import COMPARED, KINDS, LEVELS, SEEDS
from engine.metrics.intervals import SHARE, Interval
from engine.paths import ROOT

RESULTS = json.loads((ROOT / "benchmarks" / "results.json").read_text(encoding="utf-8"))
PAGE = (ROOT / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8")


def cell(strategy: str, kind: str, level: float) -> dict:
    same = (strategy, kind, level)
    return next(c for c in RESULTS["cells"] if (c["strategy"], c["kind"], c["level"]) == same)


def test_the_whole_grid_is_there():
    assert len(RESULTS["cells"]) == len(COMPARED) * len(KINDS) * len(LEVELS)
    assert all(len(c["own"]) == len(set(c["runs"])) == SEEDS for c in RESULTS["cells"])


@pytest.mark.parametrize("kind", KINDS)
def test_intervals_and_differences_follow_from_the_accuracies(kind):
    for level in LEVELS:
        fedit = cell("fedit", kind, level)
        for strategy in COMPARED:
            found = cell(strategy, kind, level)
            for measure, interval in found["intervals"].items():
                again = Interval.of(found[measure], SHARE)
                assert (again.mean, again.low, again.high) == pytest.approx(
                    tuple(interval.values())
                )
            gain = difference(found["own"], fedit["own"])
            assert found["against_fedit"]["mean"] == pytest.approx(gain.mean, abs=1e-12)
            clients = [sum(values) / len(values) for values in found["clients"]]
            assert clients == pytest.approx(found["own"])
            if strategy != "fedit":
                assert gain.points(sign=True) in PAGE


def test_the_headline_follows_from_its_accuracies():
    found = {c["strategy"]: c for c in RESULTS["headline_cells"]}
    ours, theirs = found["plora"], found["fedit"]
    gain = Interval.of([a / b - 1 for a, b in zip(ours["own"], theirs["own"], strict=True)])
    headline = RESULTS["headline"]
    assert [headline[k] for k in ("mean", "low", "high")] == pytest.approx(
        [gain.mean, gain.low, gain.high]
    )
    pairs = [
        pair
        for seed in zip(ours["clients"], theirs["clients"], strict=True)
        for pair in zip(*seed, strict=True)
    ]
    assert headline["clients_improved"] == sum(a > b for a, b in pairs)
    assert headline["clients"] == len(pairs) == 8 * headline["seeds"]
    assert f"**{gain.points(sign=True)} %**" in PAGE
