"""Ask: what it opens on, its filters, scenes, all clients, and links."""

from urllib.parse import parse_qsl, urlsplit

import pytest
from streamlit.testing.v1 import AppTest

from app.answers import spotlight
from db import reads
from engine.answering import client as answering
from engine.config import ExperimentConfig
from engine.data.factory import new_dataset
from engine.results import example
from engine.results.disagreement import disagreements, filters
from tests.helpers.runs import changed, run
from tests.pages.test_pages import open_page, text_of


@pytest.fixture
def plora(module_home) -> int:
    example.install()
    return next(r.id for r in reads.runs() if r.experiment.bundled and r.strategy == "plora")


def dataset_of(run_id: int):
    return new_dataset(ExperimentConfig.parse(reads.run(run_id).experiment.config))


def cards_of(app: AppTest) -> str:
    return " ".join(block.proto.body for block in app.get("html"))


def test_it_shows_an_answer_of_each_variant_and_marks_it(plora):
    app = open_page("ask", client="2", item="5")
    assert not app.exception and not app.error
    text = text_of(app)
    assert ("right" in text or "wrong" in text) and text.count(" sure") == 4
    assert app.query_params["client"] == "2" and app.query_params["item"] == "5"
    assert app.selectbox(key="choose_client").value == 2
    assert app.query_params["run"] == str(app.selectbox(key="choose_run").value)


def test_it_opens_where_personalising_put_an_answer_right(plora):
    app = open_page("ask")
    client, item = (int(app.query_params[key]) for key in ("client", "item"))
    fixed = {d.item for d in disagreements(reads.run(plora), client) if d.rank == 2}
    names = app.selectbox(key="choose_item").options
    assert dataset_of(plora).items(client, "test")[item].item in fixed
    assert len(names) == len(fixed) and app.query_params["filter"] == "fixed"
    assert "✓ right" in text_of(app) and "✗ wrong" in text_of(app)


def test_filters_choose_items_by_what_personalising_did(plora):
    items = frozenset(item.item for item in dataset_of(plora).items(1, "test"))
    chosen = filters(reads.run(plora), 1, items)
    assert chosen["fixed"].items | chosen["broken"].items <= chosen["differ"].items < items
    for name, choice in chosen.items():
        app = open_page("ask", client="1", filter=name)
        assert len(app.selectbox(key="choose_item").options) == len(choice.items or items)
        assert not app.exception and app.query_params["filter"] == name


def test_next_goes_through_the_chosen_items_and_round(plora):
    app = open_page("ask", client="1", filter="fixed")
    first = app.query_params["item"]
    seen = [first]
    for _ in app.selectbox(key="choose_item").options[1:]:
        app.button(key="next").click().run()
        seen.append(app.query_params["item"])
    assert len(set(seen)) == len(app.selectbox(key="choose_item").options)
    app.button(key="next").click().run()
    assert app.query_params["item"] == first
    app.button(key="previous").click().run()
    assert app.query_params["item"] == seen[-1]


def test_all_clients_answer_the_same_picture_each_by_its_own_words(plora):
    app = open_page("ask", client="1", filter="fixed", all="True")
    assert not app.exception and "All clients, the same picture" in text_of(app)
    cells = cards_of(app)
    assert all(f"Client {k}</div>" in cells for k in range(4))
    data, item = dataset_of(plora), int(app.query_params["item"])
    words = {data.accepted_by(k, 1, "test", item) for k in range(4)}
    assert data.accepted_by(1, 1, "test", item) == data.items(1, "test")[item].accepted
    assert len(words) > 1, "sites have words of their own"


def test_it_shows_where_a_model_with_cross_attention_looked(plora):
    shown = len(open_page("ask", client="1", item="0").get("image"))
    app = open_page("ask", client="1", item="0", looked="True")
    assert len(app.get("image")) == shown + 4 and not app.exception
    picture = dataset_of(plora).example(1, "test", 0)
    grid = answering.where_looked(plora, 1, picture.image, picture.question)["personal"]
    row, column = divmod(int(grid.argmax()), 3)
    light = (spotlight(picture.image, grid) / picture.image.clip(1)).mean(-1)
    centres = light[[[18], [56], [94]], [18, 56, 94]]
    assert centres.argmax() == 3 * row + column


def test_a_scene_is_made_by_a_few_controls_and_judged_in_each_sites_words(plora):
    app = open_page("ask", client="0", source="scene", all="True")
    assert not app.exception and "right answer at this site" in text_of(app)
    before = cards_of(app)
    app.selectbox(key="choose_kind").set_value("box").run()
    assert app.query_params["kind"] == "box" and cards_of(app) != before
    app.selectbox(key="choose_about").set_value("colour").run()
    assert app.text_input(key="choose_question").value == "What colour is the box?"
    app.text_input(key="choose_question").set_value("Where is the box?").run()
    assert "right answer at this site" not in text_of(app), "nobody knows it"
    assert app.query_params["question"] == "Where is the box?" and not app.exception


@pytest.mark.parametrize(
    "url",
    [
        {"client": "2", "filter": "fixed", "all": "True", "looked": "True"},
        {"client": "1", "item": "7", "question": "How many things are there?"},
        {"client": "3", "source": "scene", "kind": "star", "colour": "red", "place": "top left",
         "others": "0", "camera": "fog", "about": "position"},
    ],
)  # fmt: skip
def test_the_link_opens_the_same_view(plora, url):
    first = open_page("ask", **url)
    [link] = [code.value for code in first.code]
    linked = dict(parse_qsl(urlsplit(link).query))
    assert url.items() <= linked.items() and linked["run"] == str(plora)
    second = open_page("ask", **linked)
    assert not second.exception and cards_of(second) == cards_of(first)
    assert text_of(second) == text_of(first) and len(second.get("image")) == len(first.get("image"))


def test_an_upload_that_is_no_picture_is_refused(plora):
    app = open_page("ask", source="own")
    app.file_uploader(key="upload").upload("x.png", b"not a picture", "image/png").run()
    assert "not a picture" in app.error[0].value and not app.exception


def test_it_says_what_a_model_cannot_read(plora):
    app = open_page("ask", client="0", item="0")
    app.text_input(key="choose_question").set_value(" ".join(["what"] * 90)).run()
    assert not app.exception and "too long" in app.warning[0].value
    app.text_input(key="choose_question").set_value("<image> <image>").run()
    assert not app.exception and "control" in app.warning[0].value


def test_it_says_when_nobody_can_answer(plora, monkeypatch):
    def nobody(*_: object) -> None:
        raise answering.NoAnswer("the process that answers did not start")

    monkeypatch.setattr(answering, "request", nobody)
    app = open_page("ask", client="0", item="0", question="Is anybody there?")
    assert "did not start" in app.warning[0].value and not app.exception


def test_clients_that_learnt_alone_answer_too(home, tiny):
    values = {"strategies": ["local", "fedit", "plora"], "rounds": 1}
    *_, plora = run(changed(tiny, **values))
    app = open_page("ask", run=str(plora.run), client="0", item="0")
    assert not app.exception and text_of(app).count(" sure") == 4
    assert f"Local only, run {plora.run - 2}" in text_of(app)


def test_a_run_that_keeps_nothing_has_no_filters_that_choose(plora):
    fedit = next(r.id for r in reads.runs() if r.strategy == "fedit")
    app = open_page("ask", run=str(fedit), client="0", filter="fixed")
    assert "no question of this kind" in text_of(app) and not app.exception
    assert len(app.selectbox(key="choose_item").options) == 48


def test_a_link_to_an_experiment_opens_its_personalised_run(plora, tiny):
    # The last of this file: a newer run changes what the page opens on.
    newer = run(changed(tiny, strategies=["fedit"], rounds=1))[0].run
    assert open_page("ask").query_params["run"] == str(newer)
    app = open_page("ask", experiment=str(reads.run(plora).experiment_id))
    assert app.query_params["run"] == str(plora) and "experiment" not in app.query_params
