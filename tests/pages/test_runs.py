"""Runs: the table of all runs, what can be done with them, and runs side by side."""

import time

import pytest
from sqlalchemy import insert, update
from streamlit.testing.v1 import AppTest

from db import keeping, reads, writes
from db.engine import writing
from db.tables import Evaluation, Run
from engine.config import ExperimentConfig
from engine.jobs import queue
from engine.results import example, housekeeping
from tests.helpers.runs import changed, run
from tests.helpers.stored import give_files, store
from tests.pages.test_pages import open_page, text_of


@pytest.fixture(autouse=True)
def _example(home):
    """The example comes first, as in a home where somebody works."""
    example.install()


def table(app: AppTest) -> dict[str, list]:
    return app.dataframe[0].value.to_dict("list")


def marked(app: AppTest) -> str:
    return app.query_params.get("chosen", "")


def test_500_runs_are_shown_searched_and_sorted_in_less_than_a_second_each():
    ids = []
    for number in range(126):
        values = {"name": f"bench {number}", "lora": {"rank": 1 + number % 42}}
        config = ExperimentConfig.parse(values).model_dump(mode="json")
        ways = dict.fromkeys(("local", "fedit", "plora", "fedsa"), 8)
        ids += writes.create_experiment(config, ways)[1]
    rows = [
        {
            "run_id": run_id, "round": n, "client": k, "variant": variant, "scope": scope,
            "loss": 1.0, "accuracy": (run_id % 97) / 97, "samples": 48,
        }
        for run_id in ids for n in range(5) for k in range(4)
        for variant in ("global", "personal") for scope in ("own", "pooled")
    ]  # fmt: skip
    with writing() as session:
        session.execute(update(Run).where(Run.id.in_(ids)).values(status="done", rounds_done=8))
        session.execute(insert(Evaluation), rows)
    open_page("runs")  # imports, and whatever is done once
    counts = []
    for url in ({}, {"search": "lora.rank=6 bench"}, {"order": "best", "strategy": "FedVLM pLoRA"}):
        start = time.process_time()  # whatever else the machine does at the time
        app = open_page("runs", **url)
        seconds = time.process_time() - start
        assert not app.exception and seconds < 1, (url, seconds)
        counts.append(len(table(app)["run"]))
    assert counts == [len(reads.runs()), 3 * 4, 126 + 1] and counts[0] > 500


def test_search_filters_and_order_say_which_runs_are_shown():
    [old] = store(name="Old ideas", accuracies=(0.1, 0.9, 0.3))
    fedit, plora = store(("fedit", "plora"), accuracies=(0.1, 0.6), name="Bins")
    [failed] = store(name="Broken", status="failed", accuracies=(0.1,), rounds=3)
    keeping.label(reads.run(old).experiment_id, ["thesis"], "see chapter 3")
    app = open_page("runs")
    assert not app.exception and table(app)["run"][:4] == [failed, plora, fedit, old]
    row = table(app)["run"].index(old)
    shown = {name: values[row] for name, values in table(app).items()}
    assert (shown["best"], shown["last"], shown["rounds"]) == (0.9, 0.3, "2/2")
    assert (shown["state"], list(shown["tags"])) == ("done", ["thesis"])
    assert shown["duration"].total_seconds() == 60
    for words, expected in (
        ("chapter", [old]),
        ("BINS fedit", [fedit]),
        ("nothing so", []),
        ("rounds=3", [failed]),
    ):
        app.text_input(key="choose_search").set_value(words).run()
        assert table(app)["run"] == expected, words
    assert open_page("runs", tag="thesis").query_params["tag"] == "thesis"
    assert table(open_page("runs", tag="thesis"))["run"] == [old]
    assert table(open_page("runs", state="failed"))["run"] == [failed]
    assert table(open_page("runs", order="best"))["run"][0] == old
    own = [run for run in table(open_page("runs", order="last"))["run"] if run >= old]
    assert own == [plora, fedit, old, failed]


def test_what_is_marked_stays_so_through_a_search_and_offers_what_fits():
    [first], [second] = store(name="first"), store(name="second", lora={"rank": 4})
    app = open_page("runs", chosen=f"{first}")
    assert f"**Run {first}**" in text_of(app)
    app.text_input(key="choose_search").set_value("second").run()
    assert table(app)["run"] == [second] and f"**Run {first}**" in text_of(app)
    [key] = [frame.key for frame in app.dataframe]
    app.session_state[key] = {"selection": {"rows": [0], "columns": [], "cells": []}}
    app.run()
    assert marked(app) == f"{first},{second}"
    links = {link.proto.label: link.proto.query_string for link in app.get("page_link")}
    assert links["Compare"] in (f"compare={first}%2C{second}", f"?compare={first}%2C{second}")
    assert "Clone" not in links and not [b for b in app.button if b.key == "resume_runs"]
    app.button(key="unmark").click().run()
    assert marked(app) == "" and "Mark runs in the table" in text_of(app)


def test_a_clone_is_a_link_to_the_form_as_it_was():
    _, plora = store(("fedit", "plora"), name="Mine", lora={"rank": 3}, accuracies=(0.1, 0.2))
    app = open_page("runs", chosen=str(plora))
    [link] = [link for link in app.get("page_link") if link.proto.label == "Clone"]
    query = dict(part.split("=") for part in link.proto.query_string.lstrip("?").split("&"))
    assert query["strategies"] == "plora" and query["lora.rank"] == "3" and query["name"] == "Mine"
    form = open_page("setup", **query)
    assert not form.exception and not form.error


def test_deleting_says_what_it_frees_hides_at_once_and_can_be_undone():
    [gone] = store(name="gone")
    give_files(gone)
    app = open_page("runs", chosen=str(gone))
    assert "Deleting run" in text_of(app) and "frees 1 kB" in text_of(app)
    app.button(key="delete_now").click().run()
    assert gone not in table(app)["run"] and marked(app) == ""
    assert f"Run {gone} is deleted" in text_of(app)
    app.button(key="undo").click().run()
    assert gone in table(app)["run"] and "is deleted" not in text_of(app)
    assert not app.exception and reads.run(gone)


def test_a_run_that_waits_and_the_example_are_not_offered_for_deletion():
    [waiting] = store(status="queued")
    app = open_page("runs", chosen=str(waiting))
    assert "stop it first" in text_of(app)
    assert "delete_now" not in [button.key for button in app.button]
    app = open_page("runs", chosen=str(reads.bundled_runs()[0].id))
    assert "comes with the lab" in text_of(app)


def test_runs_are_resumed_named_tagged_and_noted(started):
    [failed] = store(status="failed")
    app = open_page("runs", chosen=str(failed))
    experiment = reads.run(failed).experiment
    [name] = [field for field in app.text_input if field.label == "Name of the experiment"]
    [tags] = [field for field in app.text_input if field.label.startswith("Tags")]
    name.set_value("  Better name ")
    tags.set_value("thesis, , figure 2,thesis")
    app.text_area[0].set_value("Use this.")
    app.button(key="FormSubmitter:labels_form-Save").click().run()
    assert not app.exception and not app.error
    stored = reads.run(failed).experiment
    assert (stored.name, stored.tags, stored.notes) == (
        "Better name", ["thesis", "figure 2"], "Use this.",
    )  # fmt: skip
    assert stored.config == {**experiment.config, "name": "Better name"}
    app.button(key="resume_runs").click().run()
    assert reads.run(failed).status == "queued" and started


def test_the_home_shows_what_can_go_and_removes_it():
    [done] = store()
    give_files(done)
    [gone] = store()
    housekeeping.delete([gone])
    app = open_page("runs")
    assert "can go without a loss" not in text_of(app)
    app.session_state["home"] = True
    app.run()
    assert "can go without a loss" in text_of(app) and "Models of finished runs" in text_of(app)
    app.multiselect(key="returning").set_value([gone]).run()
    app.button(key="return").click().run()
    assert app.success[0].value == f"Brought back: run {gone}." and reads.run(gone)
    app.button(key="clean_rounds").click().run()
    assert app.success[0].value == "0 kB freed." and not app.exception
    assert "Earlier rounds of finished runs**" not in text_of(app)


def test_runs_side_by_side_show_only_what_differs_and_answer_the_same_picture(tiny):
    small = changed(tiny, strategies=("fedit",), rounds=1)
    [first] = run(small)
    [second] = run(changed(small, lora={"rank": 2}, heterogeneity={"level": 0.1}))
    app = open_page("runs", compare=f"{first.run},{second.run}")
    assert not app.exception and app.title[0].value == "Runs side by side"
    differing = app.table[1].value.to_dict("list")
    assert [title.partition(" :small")[0] for title in differing["setting"]] == [
        "How much they differ", "LoRA rank",
    ]  # fmt: skip
    assert "Their data differ" in text_of(app)
    app.button(key="ask_all").click().run()
    assert not app.exception and not app.warning
    [answers] = [b.proto.body for b in app.get("html") if "<ul" in b.proto.body]
    assert f"Run {first.run} · FedIT" in answers and f"Run {second.run} · FedIT" in answers
    assert answers.count("✓ right") + answers.count("✗ wrong") == 2


@pytest.mark.parametrize(("numbers", "words"), [("1", "2 to 6"), ("1,999", "no run 999")])
def test_a_comparison_that_cannot_be_made_is_a_sentence(numbers, words):
    app = open_page("runs", compare=numbers)
    assert not app.exception and words in app.warning[0].value


def test_the_page_follows_runs_that_wait(started):
    [waiting] = store(status="queued")
    app = open_page("runs")
    assert table(app)["state"][0] == "waiting" and started
    queue.stop(waiting)
    app.run()
    assert table(app)["state"][0] == "stopped"
