"""The page of a sweep, its fields on Set up, and the ways that lead to it."""

from urllib.parse import unquote

import pytest

from app.sweep_form import suggested
from app.sweeps import state_of_sweep
from db import reads, sweeps, writes
from engine.config import ExperimentConfig
from engine.results import sweep_charts
from engine.results.sweep import sweep_result
from tests.helpers.runs import changed
from tests.helpers.sweeps import OWN, accuracy, finish, made_up_sweep
from tests.pages.test_pages import open_page, text_of

SAMPLES = [16, 64, 256]


def config_of(tiny: ExperimentConfig, **values) -> ExperimentConfig:
    over = {"samples_per_client": SAMPLES}
    return changed(tiny, **{"strategies": list(OWN), "repeats": 3, "sweep": over, **values})


def links(app) -> dict[str, str]:
    """The labels of a page's links with what their addresses say."""
    return {link.proto.label: unquote(link.proto.query_string) for link in app.get("page_link")}


def test_lines_are_drawn_in_their_styles_with_band_and_draws(tiny):
    result = sweep_result(made_up_sweep(config_of(tiny)))
    figure = sweep_charts.accuracies(result)
    assert figure.layout.xaxis.type == "log" and list(figure.layout.xaxis.tickvals) == SAMPLES
    lines = {trace.name: trace for trace in figure.data if trace.name}
    assert list(lines) == ["Alone (no federation)", "Global (one for all)", "FedVLM pLoRA"]
    plora = lines["FedVLM pLoRA"]
    assert (plora.line.color, plora.line.dash) == ("#D55E00", "solid")
    means = [sum(accuracy("plora", n, k) for k in range(3)) / 3 for n in range(3)]
    assert list(plora.y) == pytest.approx(means)
    middle = result.lines["plora"][0].draws[1]
    assert plora.customdata[0] == middle.experiment, "of the draw nearest to the mean"
    bands = [trace for trace in figure.data if trace.fill == "tonexty"]
    assert [band.line.color for band in bands] == ["#009E73", "#0072B2", "#D55E00"]
    dots = [trace for trace in figure.data if trace.mode == "markers"]
    assert [len(trace.x) for trace in dots] == [9, 9, 9]
    figure = sweep_charts.differences(result, "plora")
    alone, shared = (trace for trace in figure.data if trace.name)
    assert (alone.line.color, shared.line.color) == ("#009E73", "#0072B2")
    assert list(alone.y) == pytest.approx([8.0] * 3), "in three draws 0.1, 0.08 and 0.06"


def test_the_page_shows_state_figures_differences_and_every_experiment(tiny):
    sweep = made_up_sweep(config_of(tiny))
    app = open_page("sweep", sweep=str(sweep))
    assert not app.exception and not app.error
    [progress] = app.get("progress")
    assert "Done, 9 of 9 experiments" in progress.proto.text
    text = text_of(app)
    assert "own test sets, over “Training samples per client”" in text
    assert "against FedIT\\: surely better at 16, 64, 256." in text
    assert len(app.get("plotly_chart")) == 2
    pressed = {link.proto.query_string for link in app.get("page_link")}
    assert {f"experiment={row.experiment}" for row in sweeps.runs(sweep)} <= pressed
    assert {button.key for button in app.button} == set(), "it is over"
    again = links(app)["Set it up again →"]
    assert "sweep.samples_per_client=16" in again and "repeats=3" in again


def test_it_is_paused_stopped_and_resumed_from_the_page(tiny, started):
    sweep = made_up_sweep(config_of(tiny, strategies=["plora"]), but=2)
    waiting = [row for row in sweeps.runs(sweep) if row.status == "queued"]
    app = open_page("sweep", sweep=str(sweep))
    assert "7 of 9 experiments" in app.get("progress")[0].proto.text
    app.button(key="pause").click().run()
    assert sweeps.is_paused(sweep) and "Paused" in app.get("progress")[0].proto.text
    app.button(key="go_on").click().run()
    assert not sweeps.is_paused(sweep)
    finish(waiting[0], 1, 2)
    app.button(key="stop").click().run()
    assert [reads.run(row.run).status for row in waiting] == ["done", "stopped"]
    assert "8 of 9 experiments" in app.get("progress")[0].proto.text
    app.button(key="resume").click().run()
    assert reads.run(waiting[1].run).status == "queued" and not app.exception


def test_two_keys_are_small_multiples_and_draws_alone_stand_side_by_side(tiny):
    over = {"samples_per_client": [16, 32], "heterogeneity.kind": ["label", "concept", "domain"]}
    app = open_page("sweep", sweep=str(made_up_sweep(config_of(tiny, repeats=2, sweep=over))))
    assert not app.exception and len(app.get("plotly_chart")) == 6
    assert "What differs between clients: concept" in text_of(app)
    app = open_page("sweep", sweep=str(made_up_sweep(config_of(tiny, sweep={}))))
    assert not app.exception and len(app.get("plotly_chart")) == 2
    figure = sweep_charts.accuracies(sweep_result(2))
    assert figure.layout.xaxis.type == "category"
    assert all(trace.error_y.array[0] > 0 for trace in figure.data if trace.mode != "markers")


def test_a_sweep_that_has_just_begun_or_is_not_there_is_no_fault(tiny):
    made_up_sweep(config_of(tiny), but=27)
    app = open_page("sweep", sweep="99")
    assert "no sweep 99" in app.warning[0].value and not app.exception
    assert "0 of 9 experiments" in app.get("progress")[0].proto.text


def test_a_failed_run_is_told_with_its_reason(tiny):
    sweep = made_up_sweep(config_of(tiny), but=1)
    last = sweeps.runs(sweep)[-1].run
    writes.start_run(last)
    writes.end_run(last, "failed", error="MemoryError: no room")
    app = open_page("sweep", sweep=str(sweep))
    assert "1 run has **failed**" in app.error[0].value and "no room" in app.error[0].value
    assert app.button(key="resume")
    assert state_of_sweep(sweeps.runs(sweep), is_paused=False) == "failed"


def test_start_shows_one_entry_and_live_leads_back(tiny):
    sweep = made_up_sweep(config_of(tiny))
    app = open_page("start")
    assert f"sweep={sweep}" in links(app)[f"Sweep {sweep} · Tiny"]
    assert not any(" · Tiny · " in label for label in links(app)), "its experiments are one entry"
    assert "over Training samples per client · done, 9 experiments" in text_of(app)
    experiment = sweeps.runs(sweep)[0].experiment
    app = open_page("live", experiment=str(experiment))
    assert links(app)["See its sweep →"] == f"sweep={sweep}" and not app.exception


def test_set_up_tells_what_a_sweep_will_take_and_starts_it(started):
    app = open_page("setup", preset="tiny")
    app.number_input(key="repeats:tiny").set_value(2)
    app.selectbox(key="sweep:tiny").set_value("heterogeneity.level").run()
    values = app.text_input(key="sweep.heterogeneity.level:tiny")
    assert values.value == "0, 0.25, 0.5, 0.75, 1"
    values.set_value("0, 7").run()
    assert "heterogeneity.level=7 is not possible" in app.error[0].value
    assert ":red[Sweep over:" in text_of(app)
    app.text_input(key="sweep.heterogeneity.level:tiny").set_value("0, 1").run()
    assert "4 experiments, 8 runs: takes about" in text_of(app)
    assert "sweep.heterogeneity.level" in app.query_params
    other = open_page("setup", **{key: first(value) for key, value in app.query_params.items()})
    assert "4 experiments, 8 runs" in text_of(other), "the address opens the form as it was"
    app.button(key="run").click().run()
    assert not app.exception and started
    assert first(app.query_params["sweep"]) == "1" and len(sweeps.runs(1)) == 8
    stored = ExperimentConfig.parse(sweeps.sweep(1).config)
    assert stored.repeats == 2 and stored.sweep[0].values == (0.0, 1.0)
    link = {"preset": "tiny", "repeats": "2", "sweep.heterogeneity.level": "0,1"}
    for row in sweeps.runs(1)[:3]:
        finish(row, 0, 0)
    assert "8 runs, 3 of them stored already: takes about" in text_of(open_page("setup", **link))
    for row in sweeps.runs(1)[3:]:
        finish(row, 0, 0)
    assert "8 runs: all of them are stored already" in text_of(open_page("setup", **link))


def first(value: str | list[str]) -> str:
    return value[0] if isinstance(value, list) else value


def test_suggested_values_are_within_the_limits():
    assert suggested("lora.rank", 8) == [4, 8, 16] and suggested("lora.rank", 64) == [32, 64]
    assert suggested("participation", 1.0) == [0.25, 0.5, 0.75, 1.0]
    assert suggested("lora.vision", False) == [False, True]
    assert suggested("tested_on", "test") == ["test", "validation"]
    assert suggested("learning_rate", 0.003) == [0.0015, 0.003, 0.006]
    assert suggested("privacy.clip", 0.0) == [0, 1, 2]
