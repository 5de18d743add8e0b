"""What crosses between server and clients: read in the messages of every strategy, and counted."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from typer.testing import CliRunner

from db import reads, writes
from db.tables import Crossing
from engine.adapters.adapter import DELTA_A, DELTA_B, VOTES_NAME, factor_of
from engine.cli.main import app as command_line
from engine.config import ExperimentConfig
from engine.fl import checkpoints
from engine.fl.context import context_of
from engine.fl.flower.messages import to_numpy
from engine.paths import run_folder
from engine.results.crossed import beside, crossed
from engine.strategies import STRATEGIES
from tests.helpers.runs import RecordingGrid, changed, record_wire, run


@dataclass(frozen=True)
class Watched:
    """A run, and every message of it."""

    config: ExperimentConfig
    run: int
    messages: list[Message]


ON_FLOWER = [pytest.mark.slow, pytest.mark.timeout(600)]
RUNTIMES = ("local", *(pytest.param(name, marks=ON_FLOWER) for name in ("ray", "superlink")))


@pytest.fixture(scope="module", params=RUNTIMES)
def watched(request, tiny, module_home) -> Callable[[str], Watched]:
    """The runs of all strategies on a runtime, by key."""
    config = changed(tiny, strategies=list(STRATEGIES), runtime=request.param)
    with pytest.MonkeyPatch.context() as patch:
        record_wire(patch)
        summaries = {summary.strategy: summary.run for summary in run(config)}
        messages = dict(RecordingGrid.by_run)
    return lambda key: Watched(config, summaries[key], messages[summaries[key]])


def records(messages: list[Message], kind: type) -> list:
    return [r for m in messages for r in m.content.values() if isinstance(r, kind)]


@pytest.mark.parametrize("key", STRATEGIES)
def test_no_message_holds_a_personal_tensor(key, watched):
    seen, rule = watched(key), STRATEGIES[key]
    initial = {value.numpy().tobytes() for value in context_of(seen.config).initial.values()}
    kept = {
        value.numpy().tobytes()
        for path in run_folder(seen.run).glob("clients/*/personal-*.safetensors")
        for value in checkpoints.read(path).values()
    } - initial
    assert bool(kept) == bool(rule.personal_factors)
    sent = {
        (name, array.tobytes())
        for record in records(seen.messages, ArrayRecord)
        for name, array in to_numpy(record).items()
    }
    # The rule of some is to send all that they keep; the ledger says so.
    assert bool(kept & {data for _, data in sent}) == rule().sends_what_it_keeps
    assert ("all that they keep" in beside(key)) == (key in ("corners", "fedalt"))
    allowed = {*rule.shared_factors, DELTA_A, DELTA_B}
    assert {factor_of(name) for name, _ in sent} <= allowed


@pytest.mark.parametrize("key", STRATEGIES)
def test_no_message_holds_a_picture_or_a_question(key, watched):
    seen = watched(key)
    dataset = context_of(seen.config).dataset
    questions = {item.question for k in range(2) for item in dataset.items(k, "test")}
    shapes = {name: tuple(v.shape) for name, v in context_of(seen.config).initial.items()}
    for record in records(seen.messages, ArrayRecord):
        for name, array in to_numpy(record).items():
            assert array.dtype == np.float32
            assert array.ndim == 2 or (name == VOTES_NAME and array.size < 20)
            assert array.shape == shapes.get(name, array.shape)
    for record in records(seen.messages, ConfigRecord):
        for value in record.values():
            assert not isinstance(value, bytes)
            texts = [v for v in (value if isinstance(value, list) else [value])]
            assert not questions & {text for text in texts if isinstance(text, str)}
    assert all(len(record) < 10 for record in records(seen.messages, MetricRecord))
    assert ("pictures" in beside(key)) == (key == "centralized")


@pytest.mark.parametrize("key", STRATEGIES)
def test_the_ledger_counts_every_message(key, watched):
    seen = watched(key)
    rows = reads.crossings(seen.run)
    crossings = Counter()
    for row in rows:
        crossings[row.kind, row.to_server] += row.messages
        assert row.bytes == sum(row.parts.values())
    sent = Counter()
    for message in seen.messages:  # a request to one of the nodes 2 and 3, or a reply to node 1
        sent[message.metadata.message_type, message.metadata.dst_node_id == 1] += 1
    assert crossings == sent and {row.client for row in rows} == {0, 1}
    trained = reads.client_rounds(seen.run)
    letters = ("A", "B", "delta", "votes")
    for to_server, counted in ((True, "bytes_up"), (False, "bytes_down")):
        factors = sum(
            row.parts.get(letter, 0)
            for row in rows
            if (row.kind, row.to_server) == ("train", to_server)
            for letter in letters
        )
        assert factors == sum(getattr(row, counted) for row in trained)


def test_it_is_told_in_plain_words(watched):
    seen = watched("plora")
    told = {(line.purpose, line.direction): line for line in crossed(seen.run)}
    up, down = told["training", "to the server"], told["training", "to clients"]
    assert up.what.startswith("factor B, figures") and "factor A" not in up.what
    assert (up.messages, up.clients) == (4, 2) == (down.messages, down.clients)
    assert "its models' answers" in told["testing", "to the server"].what
    shown = CliRunner().invoke(command_line, ["show", str(seen.run), "--json"])
    lines = json.loads(shown.stdout)["crossed"]
    assert {line["kind"] for line in lines} == {"query", "train", "evaluate"}
    assert sum(line["bytes"] for line in lines) == sum(line.bytes for line in told.values())
    words = CliRunner().invoke(command_line, ["show", str(watched("centralized").run)]).stdout
    assert "they travel" in " ".join(words.split())


def test_what_crosses_is_added_up():
    _, [run_id] = writes.create_experiment({"name": "x", "clients": 1}, {"fedit": 1})
    for part, size in (("A", 3), ("B", 4)):
        row = {"client": 0, "kind": "train", "to_server": True, "messages": 1}
        writes.save_crossings([Crossing(run_id=run_id, **row, bytes=size, parts={part: size})])
    [row] = reads.crossings(run_id)
    assert (row.messages, row.bytes, row.parts) == (2, 7, {"A": 3, "B": 4})
