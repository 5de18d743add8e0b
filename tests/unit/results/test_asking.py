"""A question travels to the client, and what comes back is text: no tensor leaves it."""

from __future__ import annotations

import pytest
from flwr.app import ConfigRecord, MetricRecord

from db import reads
from engine.fl import checkpoints
from engine.fl.context import context_of
from engine.fl.flower import client_app
from engine.fl.flower.asking import ASK, content_of, said_in
from engine.fl.runtimes.local_grid import LocalGrid
from engine.jobs.queue import NotPossible
from engine.jobs.stored import run_config
from engine.paths import run_folder
from engine.results.ask import ask, ask_clients, where_looked
from tests.helpers.runs import changed, run


@pytest.fixture(scope="module")
def done(tiny, module_home) -> dict[str, int]:
    config = changed(tiny, strategies=["local", "fedit", "plora", "fedex"])
    return {summary.strategy: summary.run for summary in run(config)}


@pytest.fixture
def item(tiny):
    return context_of(tiny).dataset.examples(1, "test")[0]


def test_the_reply_holds_the_answer_and_no_tensor(done, item):
    """By the ClientApp's own handler, as on every runtime."""
    config = run_config(reads.run(done["plora"]))
    grid = LocalGrid(client_app.app, 2, config.to_flower())
    shared = checkpoints.read_shared(config.folder, 2)
    content = content_of(item.image, item.question, ["personal"], shared, 2)
    message = grid.create_message(content, ASK, list(grid.get_node_ids())[1], "")
    [reply] = grid.send_and_receive([message])
    assert not reply.has_error() and not list(reply.content.array_records)
    stored = {p.item: p for p in reads.predictions(done["plora"], 1) if p.variant == "personal"}
    assert said_in(reply)["personal"].text == stored[item.item].answer
    assert {type(record) for record in reply.content.values()} == {ConfigRecord, MetricRecord}
    values = [v for record in reply.content.values() for v in record.values()]
    assert not any(isinstance(value, bytes) for value in values)
    own = [len(value) for value in values if isinstance(value, list)]
    assert max(own) == 1, "one answer, and no list of numbers"


def test_all_variants_answer_as_they_did_in_the_run(done, item):
    answers = {a.variant: a for a in ask(done["plora"], 1, item.image, item.question)}
    assert list(answers) == ["base", "local", "global", "personal"]
    sources = {"base": "plora", "local": "local", "global": "fedit", "personal": "plora"}
    for key, strategy in sources.items():
        variant = "personal" if key == "local" else key
        [stored] = [
            p for p in reads.predictions(done[strategy], 1)
            if (p.variant, p.item) == (variant, item.item)
        ]  # fmt: skip
        assert answers[key].text == stored.answer
        assert answers[key].confidence == pytest.approx(stored.confidence, abs=1e-4)


def test_every_client_answers_with_its_own(done, item):
    both = ask_clients(done["plora"], [0, 1], item.image, item.question)
    alone = [ask_clients(done["plora"], [k], item.image, item.question)[0] for k in (0, 1)]
    assert [a.client for a in both] == [0, 1] and [a.text for a in both] == [a.text for a in alone]
    [exact] = ask_clients(done["fedex"], [1], item.image, item.question)
    [stored] = [
        p for p in reads.predictions(done["fedex"], 1)
        if (p.variant, p.item) == ("global", item.item)
    ]  # fmt: skip
    assert exact.text == stored.answer, "what is added to the frozen weights travels, too"


def test_where_they_looked_comes_back_as_a_grid(done, item):
    grids = where_looked(done["plora"], 1, item.image, item.question)
    assert list(grids) == ["base", "local", "global", "personal"]
    assert all(grid.ndim == 2 and grid.sum() == pytest.approx(1, abs=1e-4)
               for grid in grids.values())  # fmt: skip


def test_a_question_is_in_the_ledger(done, item):
    def asked() -> dict[bool, tuple[int, set[str]]]:
        rows = [row for row in reads.crossings(done["plora"]) if row.kind == ASK]
        mine = {row.to_server: row for row in rows if row.client == 1}
        return {key: (row.messages, set(row.parts)) for key, row in mine.items()}

    before = asked().get(True, (0, set()))[0]
    ask(done["plora"], 1, item.image, item.question)
    assert asked() == {
        False: (before + 1, {"B", "config", "question", "image"}),
        True: (before + 1, {"metrics", "answers"}),
    }


def test_factors_that_are_gone_are_said_in_a_sentence(done, item):
    path = checkpoints.personal_path(run_folder(done["plora"]), 1, 2)
    aside = path.rename(path.with_suffix(".aside"))
    try:
        with pytest.raises(NotPossible, match=f"run {done['plora']}: the factors of client 1 are"):
            ask(done["plora"], 1, item.image, item.question)
    finally:
        aside.rename(path)
