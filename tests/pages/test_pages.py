"""Every page, rendered by AppTest from the real entry."""

import pytest
from streamlit.testing.v1 import AppTest

from app import story
from app.history import History
from app.verdict import sentence, verdict_on
from db import reads, writes
from db.tables import Evaluation, Run
from engine.config import ExperimentConfig
from engine.jobs import queue
from engine.paths import ROOT
from engine.results import charts, client_charts
from engine.results.verdict_words import compared
from engine.results.way_charts import Way, ways_over_rounds
from engine.strategies import STRATEGIES
from tests.helpers.runs import run

PAGES = ("start", "setup", "live", "sweep", "clients", "ask", "runs")


def open_page(page: str, **url: str) -> AppTest:
    app = AppTest.from_file(str(ROOT / "app" / "main.py"), default_timeout=60)
    app.switch_page(f"../pages/{page}.py")
    for key, value in url.items():
        app.query_params[key] = value
    return app.run()


def text_of(app: AppTest) -> str:
    blocks = (*app.markdown, *app.caption, *app.title, *app.subheader)
    return "\n".join(block.value for block in blocks)


def choose_ways(app: AppTest, *strategies: str) -> None:
    for key in STRATEGIES:
        app.checkbox(key=f"strategies.{key}:quickstart").set_value(key in strategies)
    app.run()


@pytest.mark.parametrize("page", PAGES)
def test_every_page_renders_on_a_fresh_home(page):
    app = open_page(page)
    assert not app.exception and not app.error
    assert app.title[0].value


def test_start_shows_the_example_with_its_stored_figures():
    app = open_page("start")
    text, runs = text_of(app), reads.bundled_runs()
    for summary in reads.summaries(runs):
        assert f"{summary.personal_accuracy:.0%} right in the example below" in text
    assert (
        sentence(verdict_on(runs[0].experiment_id)) in text
        and "One picture on which they disagree" in text
    )
    assert "✓" in text and "✗" in text


def test_the_quickstart_button_queues_both_runs_and_a_worker(started):
    app = open_page("start")
    app.button(key="run_quickstart").click().run()
    assert not app.exception
    newest = reads.runs()[:3]
    assert {r.strategy for r in newest} == {"local", "fedit", "plora"}
    assert all(r.status == "queued" and r.rounds == 16 for r in newest)
    assert started
    assert app.query_params["experiment"] == str(newest[0].experiment_id)


def test_setup_previews_clients_and_costs_and_runs_what_it_shows():
    app = open_page("setup")
    text = text_of(app)
    assert "Client 3" in text and "night camera" in text
    costs = app.table[0].value
    for way, strategy in zip(costs["way"], ("local", "fedit", "plora"), strict=True):
        assert f"[{strategy}]" in way
    assert "Takes about" in text and "of memory; this machine has" in text
    app.slider(key="heterogeneity.level:quickstart").set_value(0.0).run()
    assert "night camera" not in text_of(app) and "says what all sites say" in text_of(app)
    app.number_input(key="clients:quickstart").set_value(3).run()
    app.number_input(key="rounds:quickstart").set_value(2).run()
    app.button(key="run").click().run()
    assert not app.exception
    config = ExperimentConfig.parse(reads.runs()[0].experiment.config)
    assert (config.clients, config.rounds, config.heterogeneity.level) == (3, 2, 0.0)


def test_setup_says_what_is_wrong_instead_of_running():
    app = open_page("setup")
    choose_ways(app)
    assert "strategies" in app.error[0].value and not app.exception
    assert not [button for button in app.button if button.key == "run"]


def test_another_preset_fills_the_form():
    app = open_page("setup")
    app.selectbox(key="preset").set_value("tiny").run()
    assert app.number_input(key="clients:tiny").value == 2
    assert not app.exception


def html_of(app: AppTest) -> str:
    return "\n".join(block.proto.body for block in app.get("html"))


def test_live_shows_progress_figures_and_rounds_of_all_runs(tiny):
    fedit, plora = run(tiny)
    app = open_page("live", run=str(plora.run))  # a link to a run leads to its experiment
    assert not app.exception
    experiment = reads.run(plora.run).experiment_id
    assert app.query_params["experiment"] == str(experiment)
    assert app.selectbox(key="choose_experiment").value == experiment
    [progress] = app.get("progress")
    assert progress.proto.value == 100 and "Done" in progress.proto.text
    for summary in (fedit, plora):
        assert f"{summary.personal_accuracy:.0%}" in html_of(app)
    text = text_of(app)
    for name in ("FedIT", "FedVLM pLoRA"):
        assert f"{name}: Done." in text and f"{name}: round 2 done in" in text
    assert app.segmented_control(key=f"way_{experiment}").value == "plora"
    assert "(B)" in text and "No picture and no question left a client." in text


def test_live_shows_any_way_client_by_client(tiny):
    fedit, plora = run(tiny)
    app = open_page("live", run=str(plora.run), way="fedit")
    assert "Every client after every round, FedIT" in text_of(app) and "(A and B)" in text_of(app)
    ways = [Way.of(stored) for stored in reads.runs_of(reads.run(fedit.run).experiment_id)]
    lines = {trace.name: trace for trace in ways_over_rounds(ways).data if trace.name}
    assert list(lines) == ["Base", "Global (one for all)", "Personalised: FedVLM pLoRA"]
    assert lines["Global (one for all)"].y[-1] == pytest.approx(fedit.personal_accuracy)
    bands = [trace for trace in ways_over_rounds(ways).data if trace.fill == "tonexty"]
    worst = {round(band.y[-1], 6) for band in bands}
    assert worst == {round(s.worst_client_accuracy, 6) for s in (fedit, plora)}


def test_the_diagram_says_that_pictures_travel_where_the_server_trains():
    assert story.travelling("fedit") == "A and B"
    assert story.travelling("centralized") == ""
    assert "all pictures travel" in story.told("centralized")
    assert "all pictures travel" in story.diagram("centralized", "#000000")


def test_live_shows_who_gains_what_averaging_does_and_what_privacy_costs(tiny):
    values = {"strategies": ["fedit", "local"], "privacy": {"clip": 1, "noise": 2}}
    fedit, _ = run(ExperimentConfig.parse({**tiny.model_dump(), **values}))
    app = open_page("live", run=str(fedit.run), way="fedit")
    assert not app.exception
    folded = {expander.label.partition(" ")[0] for expander in app.expander}
    assert folded == {"Everybody's", "Who", "What", "Adapters", "Log"}
    for key in ("curves", "fairness", "averaging", "privacy", "crossed", "exports", "machine"):
        app.session_state[f"fold_{key}"] = True
    app.run()
    assert not app.exception
    spent = reads.rounds(fedit.run)[-1].epsilon
    assert f"at δ = 1e-05; now {spent:.1f}" in text_of(app)
    figure = charts.own_over_pooled(reads.tradeoffs(fedit.run))
    assert [trace.name for trace in figure.data] == ["fedit", "local"]
    assert all(len(trace.x) == 2 for trace in figure.data)
    worst, spread = charts.evenness(reads.client_scores(fedit.run, "global")).data
    assert worst.y[-1] == fedit.worst_client_accuracy and spread.y[-1] >= 0


def test_setup_takes_ranks_privacy_and_dropout(started):
    app = open_page("setup")
    choose_ways(app, "hetlora")
    app.text_input(key="lora.client_ranks:quickstart").set_value("8, 20").run()
    assert "lora.client_ranks: must not exceed lora.rank" in app.error[0].value
    app.text_input(key="lora.client_ranks:quickstart").set_value("8, 2").run()
    app.number_input(key="privacy.clip:quickstart").set_value(1.0).run()
    app.number_input(key="privacy.noise:quickstart").set_value(0.5).run()
    app.number_input(key="dropout:quickstart").set_value(0.25).run()
    app.button(key="run").click().run()
    assert not app.exception
    config = ExperimentConfig.parse(reads.runs()[0].experiment.config)
    assert config.lora.client_ranks == (8, 2) and config.dropout == 0.25
    assert (config.privacy.clip, config.privacy.noise) == (1.0, 0.5)


def test_live_stops_a_queued_run_and_resumes_it(started):
    config = ExperimentConfig.parse({"name": "waiting"})
    _, [run_id] = writes.create_experiment(config.model_dump(mode="json"), {"fedit": 8})
    app = open_page("live", run=str(run_id))
    app.button(key="stop").click().run()
    assert reads.run(run_id).status == "stopped"
    app = open_page("live", run=str(run_id))
    app.button(key="resume").click().run()
    assert reads.run(run_id).status == "queued" and started


def test_live_shows_a_dead_workers_run_as_interrupted_and_a_failed_one_with_its_reason():
    config = ExperimentConfig.parse({"name": "unlucky"}).model_dump(mode="json")
    _, [run_id] = writes.create_experiment(config, {"fedit": 8})
    writes.claim_next(writes.add_worker(2**22 - 1, 1.0, takes_queue=True))
    writes.start_run(run_id)
    app = open_page("live", run=str(run_id))
    assert "interrupted" in app.warning[0].value
    writes.requeue(run_id)
    writes.end_run(run_id, "failed", error="MemoryError: no room")
    app = open_page("live", run=str(run_id))
    assert r"MemoryError\: no room" in app.error[0].value


def test_a_run_in_the_url_that_does_not_exist_gives_a_sentence():
    app = open_page("live", run="999")
    assert "no run 999" in app.warning[0].value and not app.exception


def test_live_shows_the_spread_of_many_clients(tiny):
    many = charts.MOST_LINES + 4
    values = {**tiny.model_dump(), "clients": many, "rounds": 1, "strategies": ["fedit"]}
    _, [run_id] = queue.create(ExperimentConfig.parse(values))
    rows = [
        Evaluation(
            run_id=run_id, round=1, client=k, variant="global", scope="own",
            loss=1.0, accuracy=k / many, samples=48,
        )
        for k in range(many)
    ]  # fmt: skip
    writes.save_evaluations(rows)
    figure = client_charts.per_client(reads.run(run_id), reads.client_scores(run_id, "global"))
    assert [line.y[0] for line in figure.data] == [0, (many - 1) / 2 / many, (many - 1) / many]
    app = open_page("live", run=str(run_id))
    assert not app.exception and "Every client after every round" in text_of(app)


def scores_of(run_id: int, rounds: range, accuracy: float = 0.5) -> list[Evaluation]:
    return [
        Evaluation(
            run_id=run_id, round=n, client=k, variant="global", scope="own",
            loss=1.0, accuracy=accuracy + k / 10, samples=48,
        )
        for n in rounds
        for k in range(2)
    ]  # fmt: skip


def test_another_look_at_a_run_reads_only_its_last_round_again(tiny, monkeypatch):
    _, [run_id] = queue.create(tiny.model_copy(update={"strategies": ("fedit",)}))
    writes.save_evaluations(scores_of(run_id, range(9)))
    history = History(reads.run(run_id))
    assert history.look(reads.run(run_id)) and len(history.means) == 9
    assert not history.look(reads.run(run_id))
    asked = []
    for name in ("rounds", "mean_scores", "client_scores", "mean_drifts"):
        monkeypatch.setattr(reads, name, noting(getattr(reads, name), asked))
    writes.save_evaluations(scores_of(run_id, range(9, 10), accuracy=0.7))
    assert history.look(reads.run(run_id))
    assert [row.round for row in history.means] == list(range(10))
    assert history.means[-1].accuracy == pytest.approx(0.75)
    assert [(row.round, row.client) for row in history.clients][-2:] == [(9, 0), (9, 1)]
    assert set(asked) == {7}  # rounds 8 and 9


def noting(read, asked: list):
    def reader(*arguments, after_round=-1):
        asked.append(after_round)
        return read(*arguments, after_round=after_round)

    return reader


def test_live_draws_anew_when_there_is_more_and_only_then(tiny, started):
    _, [fedit, plora] = writes.create_experiment(
        tiny.model_dump(mode="json"), {"fedit": 2, "plora": 2}
    )
    experiment = reads.run(fedit).experiment_id
    stamps = [reads.stamp(experiment), reads.stamp(experiment)]
    assert stamps[0] == stamps[1]
    writes.save_evaluations(scores_of(fedit, range(1)))
    stamps.append(reads.stamp(experiment))
    writes.start_run(plora)
    stamps.append(reads.stamp(experiment))
    writes.add_event(plora, "Something happened.")
    stamps.append(reads.stamp(experiment))
    writes.end_run(plora, "done")
    stamps.append(reads.stamp(experiment))
    assert len(set(stamps)) == 5
    app = open_page("live", experiment=str(experiment))
    assert "Something happened." in text_of(app) and not app.exception


def test_live_pauses_steps_and_goes_on(started):
    config = ExperimentConfig.parse({"name": "waiting"})
    experiment, [run_id] = writes.create_experiment(config.model_dump(mode="json"), {"fedit": 8})
    app = open_page("live", experiment=str(experiment))
    app.button(key="pause").click().run()
    assert reads.run(run_id).experiment.round_limit == 1
    app = open_page("live", experiment=str(experiment))
    app.button(key="step").click().run()
    assert reads.run(run_id).experiment.round_limit == 2
    app = open_page("live", experiment=str(experiment))
    app.button(key="go_on").click().run()
    assert reads.run(run_id).experiment.round_limit is None and not app.exception


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("clients:quickstart", 5000, "Clients: from 1 to 1,000."),
        ("learning_rate:quickstart", 3.0, "Learning rate: above 0, at most 1."),
        ("rounds:quickstart", 0, "Rounds: from 1 to 500."),
    ],
)
def test_a_number_out_of_range_is_answered_beside_its_field(key, value, told):
    app = open_page("setup")
    app.number_input(key=key).set_value(value).run()
    assert not app.exception and told in text_of(app)
    assert key.partition(":")[0] in app.error[0].value
    assert not [button for button in app.button if button.key == "run"]


def test_live_says_for_whom_it_was_worth_it_and_how_surely():
    open_page("start")  # brings the example
    runs = reads.bundled_runs()
    judged = verdict_on(runs[0].experiment_id)
    ours, theirs = compared(judged)
    gaining = [c for c in judged.clients if c.over[ours][theirs].low > 0]
    app = open_page("live", experiment=str(runs[0].experiment_id))
    assert f"Worth it for {len(gaining)} of {len(judged.clients)} clients" in text_of(app)
    rows = app.table[0].value
    against = [column for column in rows.columns if " against " in column][0]
    assert [("gains" in cell) for cell in rows[against]] == [c in gaining for c in judged.clients]
    assert "B left the site" in text_of(app)


def test_live_finds_a_worker_for_a_run_that_waits_without_one(tiny, started):
    _, [run_id] = writes.create_experiment(tiny.model_dump(mode="json"), {"fedit": 2})
    assert not started
    open_page("live", run=str(run_id))
    assert started


def test_the_heat_map_has_a_row_per_client_and_a_gap_where_one_was_not_tested():
    rows = [
        reads.ClientScore(0, 0, 0.1),
        reads.ClientScore(0, 1, 0.2),
        reads.ClientScore(1, 1, 0.9),
    ]
    [heat] = client_charts.heat_map(Run(rounds=2), rows, {1: "north"}).data
    assert list(heat.y) == ["Client 0", "Client 1 · north"] and list(heat.x) == [0, 1]
    assert [list(row) for row in heat.z] == [[0.1, None], [0.2, 0.9]]
