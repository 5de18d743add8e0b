"""The lab from Python: configs in, experiments out, with the figures of the database."""

from __future__ import annotations

import re
from dataclasses import asdict

import pytest
from PIL import Image

from db import reads, writes
from engine import lab
from engine.paths import ROOT
from engine.results import ask
from engine.strategies import STRATEGIES


@pytest.fixture(scope="module")
def experiment(module_home) -> lab.Experiment:
    return lab.run("tiny", strategies=["local", "plora"], data={"test_samples": 8}, show=False)


def test_a_config_is_a_preset_a_file_or_values_with_changes(tmp_path):
    tiny = lab.config("tiny", lora={"rank": 4})
    assert (tiny.clients, tiny.lora.rank, tiny.lora.alpha) == (2, 4, 16.0)
    again = lab.config(tiny, **{"lora.alpha": 8})
    assert (again.lora.rank, again.lora.alpha, again.name) == (4, 8.0, "Tiny")
    file = tmp_path / "config.yaml"
    file.write_text(again.to_yaml(), encoding="utf-8")
    assert lab.config(file) == lab.config(str(file)) == again
    assert lab.config({"rounds": 3}).rounds == 3 and lab.config() == lab.ExperimentConfig()
    for start, changes, words in (
        ("huge", {}, "preset: there is no 'huge'"),
        ("tiny", {"rank": 4}, "rank"),
        (tmp_path / "none.yaml", {}, "there is no file"),
    ):
        with pytest.raises(lab.ConfigError, match=words):
            lab.config(start, **changes)


def test_tables_and_verdict_are_those_of_the_database(experiment):
    runs = experiment.table("runs")
    for run, summary in zip(experiment.runs, reads.summaries(experiment.runs), strict=True):
        [row] = runs[runs.run == run.id].to_dict("records")
        assert row["personal_accuracy"] == summary.personal_accuracy and row["status"] == "done"
    scores = experiment.table("evaluations")
    assert len(scores) == sum(len(reads.evaluations(run.id)) for run in experiment.runs)
    judged = experiment.verdict()
    assert judged.strategies == ["local", "plora"] and judged.experiment == experiment.number
    assert repr(experiment) == f"Experiment {experiment.number}, 'Tiny': local done, plora done"
    assert lab.experiments()[0] == lab.open(experiment.number) == experiment
    with pytest.raises(lab.NotPossible, match="allowed: runs, clients"):
        experiment.table("secrets")
    with pytest.raises(lab.NotPossible, match="there is no experiment 99"):
        lab.open(99)


def test_models_are_asked_about_pixels_and_files(experiment, tmp_path):
    example = experiment.examples(1)[0]
    local, plora = experiment.runs
    answers = experiment.ask(example.image, example.question, client=1)
    said = ask.ask(plora.id, 1, example.image, example.question)
    assert [asdict(a) for a in answers] == [asdict(a) for a in said]
    file = tmp_path / "picture.png"
    Image.fromarray(example.image).save(file)
    alone = experiment.ask(file, example.question, client=1, strategy="local")
    assert [a.text for a in alone] == [a.text for a in said if a.variant in ("base", "local")]
    with pytest.raises(lab.BadPicture, match="there is no file"):
        experiment.ask(tmp_path / "none.png", "What?")
    with pytest.raises(lab.NotPossible, match="'ditto' is none of local, plora"):
        experiment.ask(file, "What?", strategy="ditto")


def test_report_and_bundle_are_written_and_a_bundle_is_opened(experiment, tmp_path):
    report = experiment.report(tmp_path / "report.html")
    assert report.read_text(encoding="utf-8").startswith("<!doctype html>")
    copy = lab.open(experiment.bundle(str(tmp_path / "experiment.zip")))
    assert copy.number == experiment.number + 1
    assert (copy.table("predictions").answer == experiment.table("predictions").answer).all()


def test_what_is_submitted_is_waited_for_stopped_and_resumed(home, started):
    experiment = lab.submit("tiny", strategies=["fedit"])
    assert started and [run.status for run in experiment.wait(0).runs] == ["queued"]
    experiment.stop()
    assert [run.status for run in experiment.wait().runs] == ["stopped"]
    experiment.resume()
    assert [run.status for run in experiment.runs] == ["queued"]
    writes.end_run(experiment.runs[0].id, "failed", error="no room")
    assert repr(experiment.wait()) == f"Experiment {experiment.number}, 'Tiny': fedit failed"


def test_a_sweep_from_python_is_the_stored_one(home, tmp_path):
    quick = {"strategies": ["fedit"], "rounds": 1, "data": {"test_samples": 8}}
    sweep = lab.sweep("tiny", sweep={"lora.rank": [2, 4]}, show=False, **quick)
    assert repr(sweep) == "Sweep 1, 'Tiny': 2 of 2 runs done" and len(sweep.experiments) == 2
    runs = sweep.table("runs")
    reached = {cell.values["lora.rank"]: cell.interval.mean for cell in sweep.result().cells}
    assert dict(zip(runs["lora.rank"], runs.personal_accuracy, strict=True)) == reached
    assert "sweep 1" in sweep.report(tmp_path / "sweep.html").read_text(encoding="utf-8")
    again = lab.submit_sweep("tiny", sweep={"lora.rank": [2, 4]}, **quick)
    assert {run.run for run in again.wait(0).runs} == {run.run for run in sweep.runs}
    with pytest.raises(lab.NotPossible, match="lab.sweep runs a sweep"):
        lab.run("tiny", repeats=2)
    with pytest.raises(lab.NoSuchSweep):
        lab.Sweep(9).result()


def test_the_page_names_what_there_is():
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    for name in re.findall(r"\blab\.(?!py)(\w+)", page):
        assert hasattr(lab, name), name
    rows = re.search(r"\| of an experiment.*?\n\n", page, re.DOTALL).group()
    for name in re.findall(r"^\| (.+?) \|", rows, re.MULTILINE)[2:]:
        for member in re.findall(r"`(\w+)", name):
            assert hasattr(lab.Experiment, member) or member == "number", member
    assert set(re.findall(r'strategies=\["(\w+)"', page)) <= set(STRATEGIES)
