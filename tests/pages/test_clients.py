"""Clients: who holds what, what each gains, and what is computed when somebody asks."""

import psutil
import pytest
from sqlalchemy import update
from streamlit.testing.v1 import AppTest

from app import analysis_charts
from db import reads, writes
from db.engine import writing
from db.tables import Evaluation, Run
from engine.answering import client as answering
from engine.results import client_charts, example, kept
from engine.results.analyze import CrossMatrix, Newcomer
from tests.conftest import wait_for
from tests.helpers import answering as desk
from tests.helpers.runs import changed, run
from tests.pages.test_pages import open_page, text_of


@pytest.fixture
def plora(module_home) -> int:
    example.install()
    return next(r.id for r in reads.runs() if r.experiment.bundled and r.strategy == "plora")


def labels(app: AppTest) -> list[str]:
    return [button.label for button in app.button]


def test_it_shows_who_holds_what_and_what_each_gains(plora):
    app = open_page("clients")
    assert not app.exception and not app.error
    text = text_of(app)
    assert "Client 3" in text and "night camera" in text and "256 to train on" in text
    own, shared = (
        reads.deployed_accuracies(run_id, "own")
        for run_id in (plora, next(r.id for r in reads.runs() if r.strategy == "fedit"))
    )
    most = max(own, key=lambda k: own[k] - shared[k])
    gain = 100 * (own[most] - shared[most])
    assert f"**Client {most}** ({gain:+.0f} points) gains most" in text


def test_nobody_gains_most_where_all_gain_alike(plora, monkeypatch):
    alike = {"personal": dict.fromkeys(range(4), 0.75), "global": dict.fromkeys(range(4), 0.5)}
    monkeypatch.setattr(client_charts, "own_accuracies", lambda _: alike)
    text = text_of(open_page("clients"))
    assert "every client gains as much from a model of its own: +25 points" in text
    assert "gains most" not in text


def test_the_gains_have_a_point_per_way_in_its_colour(plora):
    ways = {
        "personal": reads.deployed_accuracies(plora, "own"),
        "base": reads.base_accuracies(reads.run(plora).experiment_id),
    }
    points = [trace for trace in client_charts.gains(ways, {1: "north"}).data if trace.name]
    assert [trace.name for trace in points] == ["Base", "Personalised (one each)"]
    assert list(points[1].y) == ["Client 0", "Client 1 · north", "Client 2", "Client 3"]
    assert list(points[1].x) == [ways["personal"][k] for k in range(4)]
    assert points[1].marker.color == "#D55E00"


def test_two_rows_leave_room_for_a_legend_of_four_lines_on_a_phone():
    ways = {way: {0: 0.5, 1: 0.6} for way in ("base", "local", "global", "personal")}
    height = client_charts.gains(ways, {}).layout.height
    assert height >= 2 * 34 + 4 * 20 + 60, "rows, legend, axis"


def test_an_analysis_starts_from_a_button_shows_its_progress_and_is_kept(plora):
    app = open_page("clients")
    assert {"Compute the matrix", "Let it join", "Compare them"} <= set(labels(app))
    app.button(key="compute_likeness").click().run()
    assert not app.exception
    wait_for(lambda: desk.progress(plora, kept.LIKENESS).ended)
    app = open_page("clients")
    assert "Compare them" not in labels(app) and "A as a map: near is alike" in text_of(app)
    stored = kept.read(plora, kept.LIKENESS, reads.run(plora).rounds)
    assert stored["clients"] == [0, 1, 2, 3] and list(stored["cosines"]) == ["lora_A"]


def test_what_is_kept_is_drawn_without_asking_anybody(plora, monkeypatch):
    last = reads.run(plora).rounds
    kept.keep(plora, kept.MATRIX, last, CrossMatrix([0, 1], [[1.0, 0.5], [0.25, 0.75]]))
    kept.keep(plora, kept.NEWCOMER, last, Newcomer("fog", 0.1, 0.2, {4: 0.3}, {4: 0.5}))
    monkeypatch.setattr(answering, "request", None)
    app = open_page("clients")
    assert not app.exception and "fog camera" in text_of(app)
    assert "A light diagonal" in text_of(app) and "Compute the matrix" not in labels(app)


def test_what_each_client_chose_is_drawn_by_round_in_letters_and_colours(plora):
    assert "What each client chose" not in text_of(open_page("clients"))
    of_client = {0: "local", 1: "fedit"}
    with writing() as session:
        for client, corner in of_client.items():
            own = (Evaluation.run_id == plora, Evaluation.variant == "personal")
            rows = (*own, Evaluation.client == client, Evaluation.round > 0)
            session.execute(update(Evaluation).where(*rows).values(corner=corner))
    app = open_page("clients")
    assert not app.exception and "What each client chose" in text_of(app)
    chosen = reads.client_corners(plora)
    rounds = list(range(1, reads.run(plora).rounds + 1))
    assert [row.round for row in chosen if row.client == 1] == rounds
    traces = {trace.text: trace for trace in client_charts.corners(chosen, {1: "north"}).data}
    assert list(traces["A B"].x) == rounds and set(traces["A B"].y) == {"Client 0"}
    assert set(traces["–"].y) == {"Client 1 · north"} and "A" not in traces
    assert traces["–"].marker.color != traces["A B"].marker.color


def test_progress_and_errors_of_an_analysis_are_told(plora, monkeypatch):
    state = {kept.MATRIX: answering.Progress(0.4, "", False)}
    monkeypatch.setattr(answering, "progress", lambda run, kind: state.get(kind))
    monkeypatch.setattr(kept, "read", lambda *_: None)
    app = open_page("clients")
    assert not app.exception and "Compute the matrix" not in labels(app)
    state[kept.MATRIX] = answering.Progress(0.4, "memory ran out", True)
    app = open_page("clients")
    assert [warning.value for warning in app.warning] == ["memory ran out"]
    assert "Compute the matrix" in labels(app)


def test_a_way_without_what_an_analysis_needs_says_so(plora):
    app = open_page("clients", way="fedit")
    assert "Clients keep nothing to themselves here" in text_of(app) and not app.exception
    assert "Compare them" not in labels(app) and app.query_params["way"] == "fedit"


def test_local_shares_nothing_and_two_clients_make_no_map(home, tiny):
    [local] = run(changed(tiny, strategies=["local"], rounds=1))
    desk.request("/analyse", answering.Analysis(asker=1, run=local.run, kind=kept.LIKENESS))
    wait_for(lambda: desk.progress(local.run, kept.LIKENESS).ended)
    app = open_page("clients", experiment=str(reads.run(local.run).experiment_id))
    text = text_of(app)
    assert "Nothing is shared with a newcomer" in text and not app.exception
    assert text.count("Two clients make no map") == 2, "A and B are kept"


def test_an_experiment_that_has_not_begun_shows_its_clients(tiny, started):
    values = tiny.model_dump(mode="json")
    experiment, _ = writes.create_experiment(values, {"fedit": 2, "plora": 2})
    app = open_page("clients", experiment=str(experiment))
    assert "Nothing has been trained yet" in app.info[0].value and not app.exception
    assert "Client 1" in text_of(app)


def test_a_run_that_goes_on_is_not_analysed_yet(home, tiny, started):
    [fedit] = run(changed(tiny, strategies=["fedit"], rounds=1))
    me = psutil.Process()
    worker = writes.add_worker(me.pid, me.create_time(), takes_queue=True)
    with writing() as session:
        stored = session.get(Run, fedit.run)
        stored.status, stored.worker_id = "running", worker
    app = open_page("clients", experiment=str(stored.experiment_id))
    assert "when the run has ended" in text_of(app) and not app.exception
    assert "Compute the matrix" not in labels(app)
    desk.request("/analyse", answering.Analysis(asker=1, run=fedit.run, kind=kept.MATRIX))
    wait_for(lambda: desk.progress(fedit.run, kept.MATRIX).ended)
    assert "is running" in desk.progress(fedit.run, kept.MATRIX).error


def test_places_of_alike_clients_are_near():
    likeness = [[1, 0.9, 0], [0.9, 1, 0], [0, 0, 1]]
    figure = analysis_charts.likeness_map([0, 1, 2], likeness, {2: "far away"})
    [points] = figure.data
    places = list(zip(points.x, points.y, strict=True))

    def apart(i: int, j: int) -> float:
        return sum((a - b) ** 2 for a, b in zip(places[i], places[j], strict=True)) ** 0.5

    assert apart(0, 1) < 0.3 * apart(0, 2) and points.text[2] == "2 far away"
