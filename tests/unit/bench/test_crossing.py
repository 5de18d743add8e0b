"""The samples axis: measured from stored runs, drawn, and honest about its draws."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import pytest

from db import reads
from engine.bench import crossing, grid, pictures
from engine.bench.crossing import CROSSING, Crossing, Point, measure_crossing
from engine.bench.crossing_report import as_dict, chart, table, worth, write_crossing
from engine.config import Data, ExperimentConfig
from engine.presets import preset

OWN = {
    "local": [[0.30, 0.34, 0.32], [0.95, 0.93, 0.94]],
    "fedit": [[0.40, 0.38, 0.42], [0.60, 0.62, 0.58]],
    "plora": [[0.70, 0.72, 0.71], [0.92, 0.93, 0.91]],
    "fedsa": [[0.72, 0.71, 0.73], [0.94, 0.95, 0.93]],
    "corners": [[0.70, 0.69, 0.71], [0.94, 0.95, 0.93]],
}


@pytest.fixture
def found() -> Crossing:
    points = [
        Point(s, n, [0, 1, 2], own)
        for s, rows in OWN.items()
        for n, own in zip((64, 256), rows, strict=True)
    ]
    return Crossing(ExperimentConfig(), 3, points)


def test_what_it_is_worth_is_paired_by_draw(found):
    value = worth(found)
    assert (value["samples"], value["draws"]) == (64, 3)
    assert value["plora_over_local"]["mean"] == pytest.approx(0.39)
    assert value["plora_over_fedit"]["low"] > 0 < value["fedsa_over_local"]["low"]
    ours = value["ours_over_best_of_both"]
    assert ours["over"] == "fedit" and ours["mean"] == pytest.approx(0.30)
    assert -1 <= value["plora_over_local"]["low"] <= value["plora_over_local"]["high"] <= 1


def test_the_report_keeps_what_else_is_stored_and_says_its_draws(found, tmp_path):
    (tmp_path / "results.json").write_text('{"headline": {"mean": 0.5}}')
    write_crossing(found, tmp_path)
    stored = json.loads((tmp_path / "results.json").read_text())
    assert stored["headline"] == {"mean": 0.5} and stored["worth"] == worth(found)
    assert stored["crossing"] == json.loads(json.dumps(as_dict(found)))["crossing"]
    page = (tmp_path / "CROSSING.md").read_text()
    assert "| 64 | 3 | 32.0 [" in page and "+39.0 [" in page
    assert table(found).row_count == 2


def test_the_chart_is_a_picture_with_a_line_of_its_own_colour_for_each(found):
    text = chart(found)
    root = ET.fromstring(text)
    lines = [e for e in root.iter() if e.tag.endswith("polyline")]
    assert len(lines) == len(CROSSING)
    looks = {(e.get("stroke"), e.get("stroke-dasharray")) for e in lines}
    assert ("#009E73", "9 3 2 3") in looks and ("#0072B2", "8 4") in looks
    heights = [float(p.split(",")[1]) for p in lines[0].get("points").split()]
    assert heights[0] > heights[1], "more samples, more right answers, higher up"
    assert "mean and 95 % interval over 3 draws" in text


def test_it_runs_once_and_is_measured_from_what_is_stored(tiny, monkeypatch):
    monkeypatch.setitem(crossing.AT, "clients", 2)
    base = tiny.model_copy(update={"rounds": 1, "local_steps": 1, "data": Data(test_samples=4)})
    measured = measure_crossing(base, (8, 16), 2)
    assert len(reads.done_runs()) == len(CROSSING) * 2 * 2
    for point in measured.points:
        for run, own in zip(point.runs, point.own, strict=True):
            config = ExperimentConfig.model_validate(reads.run(run).experiment.config)
            assert config.samples_per_client == point.samples
            assert reads.summary(run).personal_accuracy == pytest.approx(own)
    monkeypatch.setattr(grid, "run_in_foreground", None)
    assert measure_crossing(base, (8, 16), 2) == measured, "nothing is run twice"


def test_what_comes_along_runs_once_too(home, monkeypatch):
    small = {"clients": 2, "samples_per_client": 16, "rounds": 1, "local_steps": 1}
    base = ExperimentConfig.parse({**preset("digits"), **small, "data": {"test_samples": 2}})
    monkeypatch.setattr(pictures, "CROSSING", ("local", "fedit"))
    own = pictures.measure_pictures(base, 1)
    assert set(own) == {"local", "fedit"}
    monkeypatch.setattr(grid, "run_in_foreground", None)
    assert pictures.measure_pictures(base, 1) == own, "nothing is run twice"


@pytest.mark.parametrize("name, file", [("digits", "DIGITS.md"), ("easy-vqa", "EASY_VQA.md")])
def test_real_pictures_are_told_with_their_draws(tmp_path, name, file):
    base = ExperimentConfig.parse(preset(name))
    own = {strategy: rows[0] for strategy, rows in OWN.items()}
    pictures.write_pictures(base, own, tmp_path)
    page = (tmp_path / file).read_text()
    assert f"3 draws of the preset `{name}`" in page and "| `plora` | 71.0 [" in page
    stored = json.loads((tmp_path / "results.json").read_text())[name]
    assert stored["draws"] == 3 and stored["plora_over_local"]["mean"] == pytest.approx(0.39)
    best = max((s for s in own if s != "corners"), key=lambda s: sum(own[s]))
    over = stored["ours_over_best_of_four"]
    assert over["over"] == best
    assert over["mean"] == pytest.approx((sum(own["corners"]) - sum(own[best])) / 3)
    assert pictures.table(own).row_count == 5
