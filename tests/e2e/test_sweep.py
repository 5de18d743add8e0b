"""A sweep from the form to its chart in a real browser, and the same from a file."""

import json
import re

import pytest

from db import reads, sweeps
from engine.config import ExperimentConfig
from engine.results.sweep import sweep_result
from tests.conftest import wait_for
from tests.e2e.conftest import CHROMIUM, READY
from tests.unit.cli.test_cli import call

pytestmark = [
    pytest.mark.real_worker,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
    pytest.mark.timeout(900),
]
LEVELS = [0, 0.25, 0.5, 0.75, 1]
LINK = (
    "preset=tiny&strategies=local,fedit,plora&rounds=1&local_steps=1&samples_per_client=8"
    "&data.test_samples=4&repeats=2"
)


def test_from_the_form_to_the_chart_and_the_same_from_a_file(
    lab, page, tmp_path, monkeypatch, capsys
):
    page.set_default_timeout(180_000)
    page.goto(f"{lab.address}/setup?{LINK}&sweep.heterogeneity.level=0,0.25,0.5,0.75,1")
    page.wait_for_selector(READY)
    page.get_by_text("10 experiments, 30 runs: takes about").wait_for()
    page.locator(".st-key-run button").click()
    page.wait_for_url(re.compile(r"/sweep\?sweep=\d+"))
    sweep = int(re.search(r"sweep=(\d+)", page.url).group(1))
    # Its lines rise while points finish.
    page.locator(".js-plotly-plot .scatterlayer .trace").first.wait_for(state="attached")
    wait_for(lambda: all(run.status == "done" for run in sweeps.runs(sweep)), 400)
    page.get_by_text("Done, 10 of 10 experiments").wait_for()
    page.get_by_text("Alone (no federation)").first.wait_for()
    assert page.locator("[data-testid=stException]").count() == 0
    # A dot opens its experiment.
    dot = page.locator(".js-plotly-plot").first.locator(".scatterlayer .points path").last
    dot.click(force=True)
    page.wait_for_url(re.compile(r"/live\?experiment=\d+"))
    opened = int(re.search(r"experiment=(\d+)", page.url).group(1))
    assert opened in {run.experiment for run in sweeps.runs(sweep)}
    page.get_by_text("See its sweep").wait_for()

    of_form = sweep_result(sweep)
    assert len(of_form.cells) == 15 and all(len(cell.by_seed) == 2 for cell in of_form.cells)
    file = tmp_path / "sweep.yaml"
    file.write_text(ExperimentConfig.parse(sweeps.sweep(sweep).config).to_yaml())
    before = len(reads.runs())
    assert json.loads(call(capsys, "run", "--config", str(file), "--json")[1])["sweep"] == sweep + 1
    assert len(reads.runs()) == before, "all of it is stored"
    monkeypatch.setenv("FEDVLM_HOME", str(tmp_path / "another home"))
    status, out, _ = call(capsys, "run", "--config", str(file), "--json")
    told = json.loads(out.splitlines()[-1])
    assert status == 0 and told["axes"] == {"heterogeneity.level": LEVELS}
    accuracies = {
        (cell["strategy"], cell["values"]["heterogeneity.level"], draw["seed"]): draw["accuracy"]
        for cell in told["cells"]
        for draw in cell["draws"]
    }
    assert accuracies == {
        (cell.strategy, cell.values["heterogeneity.level"], seed): accuracy
        for cell in of_form.cells
        for seed, accuracy in cell.by_seed.items()
    }
