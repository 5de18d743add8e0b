"""The report: one file whose figures are the database's, with nothing in it that runs but its own.

tests/e2e/test_report.py opens it in a browser.
"""

from __future__ import annotations

import json
import shlex
from html.parser import HTMLParser

import pytest
import yaml
from typer.testing import CliRunner

from db import reads, writes
from db.engine import writing
from db.sweeps import NoSuchSweep
from db.tables import Client, Experiment, Prediction, Run
from engine.cli.main import app
from engine.cli.options import config_of
from engine.config import ExperimentConfig
from engine.jobs import sweeps as sweeping
from engine.jobs.queue import NotPossible
from engine.results import example
from engine.results.report.command import command_of
from engine.results.report.page import report, sweep_report
from engine.results.sweep import sweep_result
from engine.results.verdict import verdict
from engine.results.verdict_words import worth_it
from tests.helpers.runs import changed
from tests.helpers.sweeps import OWN, made_up_sweep

MOST_BYTES = 6_000_000


class Page(HTMLParser):
    """A report's tags, its text, its tables and its figures."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.figures: dict[str, dict] = {}
        self.rows: list[list[str]] = []
        self.words: list[str] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._inside = dict(attributes).get("id", "") if tag == "script" else tag
        if tag == "tr":
            self.rows.append([])

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside.endswith("-figure"):
            self.figures[self._inside.removesuffix("-figure")] = json.loads(data)
        elif self._inside in ("td", "th") and data.strip():
            self.rows[-1].append(data)
        elif self._inside in ("pre", "p", "strong"):
            self.words.append(data)


@pytest.fixture(scope="module")
def experiment(module_home) -> int:
    example.install()
    return reads.bundled_runs()[0].experiment_id


@pytest.fixture(scope="module")
def html(experiment) -> str:
    return report(experiment)


def test_figures_and_tables_are_those_of_the_database(html, experiment):
    page, runs = Page(html), reads.runs_of(experiment)
    summaries = {row.strategy: row for row in reads.summaries(runs)}
    lines = {trace["name"]: trace["y"] for trace in page.figures["ways"]["data"] if "name" in trace}
    drawn = [lines["Alone (no federation)"], lines["Global (one for all)"]]
    drawn.append(lines["Personalised: FedVLM pLoRA"])
    for run, values in zip(runs, drawn, strict=True):
        variant = "global" if run.strategy == "fedit" else "personal"
        means = [m for m in reads.mean_scores(run.id) if (m.variant, m.scope) == (variant, "own")]
        assert values == [row.accuracy for row in means]
        assert values[-1] == pytest.approx(summaries[run.strategy].personal_accuracy)
    points = {
        trace["name"]: trace["x"] for trace in page.figures["gains"]["data"] if "name" in trace
    }
    own = reads.deployed_accuracies(runs[2].id, "own")
    assert points["Personalised (one each)"] == [own[k] for k in sorted(own)]
    for k, accuracy in own.items():
        [row] = [row for row in page.rows if row[0] == f"Client {k}"]
        assert row[5] == f"{accuracy:.1%}"
    [cost] = [row for row in page.rows if row[0].endswith("(plora)")]
    assert cost[3] == f"{summaries['plora'].personal_accuracy:.1%}"
    assert cost[6] == f"{summaries['plora'].bytes_up / 1e6:.1f} MB"
    told = worth_it(verdict(experiment))
    assert told.headline in html and told.rest in html


def test_one_file_asks_for_nothing_and_says_how_to_run_it_again(html, experiment):
    page = Page(html)
    assert len(html.encode()) < MOST_BYTES
    links = [value for _, has in page.tags for key, value in has.items() if key in ("src", "href")]
    assert links and all(link.startswith("data:") for link in links)
    images = [has for tag, has in page.tags if tag == "img"]
    assert len(images) == 12
    config = ExperimentConfig.parse(reads.runs_of(experiment)[0].experiment.config)
    [text] = [word for word in page.words if word.startswith("name: ")]
    assert ExperimentConfig.parse(yaml.safe_load(text)) == config
    assert "python -m engine run --preset quickstart" in page.words


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"name": 'It\'s "mine" $HOME', "strategies": ["plora"], "lora": {"client_ranks": [8, 3]}},
        {"dataset": "folder:/a b", "heterogeneity": {"kind": "label", "level": 0.25}},
        {"sweep": {"lora.vision": [True, False], "lora.rank": [1, 2]}, "repeats": 3},
        {"dataset": "digits", "clients": 8, "privacy": {"clip": 1, "noise": 0.5}},
    ],
)
def test_the_command_makes_the_config(values):
    config = ExperimentConfig.parse(values)
    *_, command = command_of(config).partition("engine run")
    words = shlex.split(command)
    changes = [word for flag, word in zip(words[::2], words[1::2], strict=True) if flag == "--set"]
    presets = [word for flag, word in zip(words[::2], words[1::2], strict=True) if flag != "--set"]
    assert config_of(*presets, changes=changes) == config


def test_a_config_that_set_cannot_say_is_run_by_its_file():
    config = ExperimentConfig.parse({"data": {"image": " a"}, "strategies": ["local"]})
    assert "--set" in command_of(config)
    odd = config.model_copy(update={"learning_rate": float("nan")})
    assert command_of(odd) == "python -m engine run --config config.yaml"


EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'><a href='javascript:0'>&"


def test_what_strangers_wrote_is_text(home):
    example.install()
    stored = reads.bundled_runs()[0]
    with writing() as session:
        session.query(Experiment).update({"name": EVIL[:80]})
        session.query(Client).update({"name": EVIL[:80]})
        values = {"question": EVIL, "answer": EVIL, "reference": EVIL}
        session.query(Prediction).update(values)
        config = {**stored.experiment.config, "name": EVIL[:80]}
        session.query(Experiment).update({"config": config})
        session.query(Run).filter_by(id=stored.id).update({"status": "failed", "error": EVIL})
    page = Page(report(stored.experiment_id))
    scripts = [has for tag, has in page.tags if tag == "script"]
    assert [has for has in scripts if has.get("type") != "application/json"] == [{}, {}]
    assert not [key for _, has in page.tags for key in has if key.startswith("on")]
    assert all(has["src"].startswith("data:") for tag, has in page.tags if tag == "img")
    assert [has["href"][:5] for tag, has in page.tags if tag == "a"] == ["data:"]
    names = page.figures["gains"]["data"][-1]["y"]
    assert all("<" not in name for name in names)


def test_one_run_alone_and_a_run_that_goes_on_are_reported_as_they_are(home):
    example.install()
    local, fedit, plora = reads.bundled_runs()
    with writing() as session:
        session.query(Run).filter(Run.id != plora.id).update({"status": "stopped"})
    html = report(local.experiment_id)
    assert "No verdict yet" in html and "Local only is stopped, FedIT is stopped" in html
    assert "Pictures on which they disagree" not in html


def test_data_that_have_gone_leave_a_report_without_pictures(home):
    example.install()
    stored = reads.bundled_runs()[0].experiment
    with writing() as session:
        other = {**stored.resolved, "data": {**stored.resolved["data"], "pictures": "others"}}
        session.query(Experiment).update({"resolved": other})
    html = report(stored.id)
    assert "Their pictures cannot be shown. dataset: the data of world have changed" in html
    assert "<img" not in html and "Right here" in html


def test_a_sweep_has_its_figures_and_its_command(tiny, home, tmp_path):
    over = {"heterogeneity.level": [0.0, 0.5], "lora.rank": [2, 4]}
    sweep = made_up_sweep(changed(tiny, strategies=list(OWN), repeats=2, sweep=over), but=1)
    file = tmp_path / "sweep.html"
    done = CliRunner().invoke(app, ["report", str(sweep), str(file), "--sweep"])
    assert done.exit_code == 0 and f"the report of sweep {sweep} is" in done.stdout
    page, result = Page(file.read_text(encoding="utf-8")), sweep_result(sweep)
    assert file.stat().st_size < MOST_BYTES
    for number, (_, panel) in enumerate(result.panels()):
        lines = {trace.get("name"): trace for trace in page.figures[f"accuracies-{number}"]["data"]}
        assert lines["Alone (no federation)"]["y"] == [
            cell.interval.mean for cell in panel.lines["local"]
        ]
        gaps = page.figures[f"differences-{number}"]["data"]
        over_alone = next(trace for trace in gaps if trace.get("name") == "over Local only")
        assert over_alone["y"] == [100 * g.interval.mean for g in panel.gaps["plora", "local"]]
    assert "FedVLM pLoRA against Local only" in page.words
    assert " of 4 values. FedVLM pLoRA against FedIT: " in file.read_text(encoding="utf-8")
    assert "23 of 24 runs are done: its figures are those so far." in page.words
    assert sum(row[-1].endswith("of experiment 1") for row in page.rows) == 3
    [command] = [word for word in page.words if word.startswith("python -m engine run")]
    assert "--set repeats=2" in command and "--set sweep.lora.rank=2,4" in command
    with pytest.raises(NoSuchSweep):
        sweep_report(99)
    with pytest.raises(NotPossible, match="no finished run yet"):
        sweep_report(sweeping.create(changed(tiny, repeats=2)))


def test_the_command_writes_a_file_and_mistakes_are_sentences(experiment, tmp_path):
    file = tmp_path / "report.html"
    done = CliRunner().invoke(app, ["report", str(experiment), str(file)])
    assert done.exit_code == 0 and "4.9 MB" in done.stdout
    assert file.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert list(tmp_path.iterdir()) == [file]
    with pytest.raises(NotPossible, match="there is no experiment 999"):
        report(999)
    config = ExperimentConfig.parse({"name": "waiting"})
    waiting, _ = writes.create_experiment(config.model_dump(mode="json"), {"fedit": 8})
    with pytest.raises(NotPossible, match="no finished round yet"):
        report(waiting)
