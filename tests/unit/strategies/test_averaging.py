"""Robust averages: what Flower's own rules give, and what a client that sends garbage can do."""

from __future__ import annotations

import numpy as np
import pytest
from flwr.app import Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedMedian
from flwr.serverapp.strategy.fedtrimmedavg import trim_mean
from flwr.serverapp.strategy.multikrum import select_multikrum

from db import reads
from engine.adapters.adapter import Adapter
from engine.config import ConfigError, ExperimentConfig
from engine.fl.client import Client
from engine.fl.flower.messages import to_record
from engine.fl.runtimes.local_grid import LocalGrid
from engine.jobs.queue import create
from engine.strategies import STRATEGIES
from engine.strategies.averaging import Arrays, Average, weighted_mean
from tests.helpers.runs import changed, run

SHAPES = {"x.lora_A": (4, 7), "x.lora_B": (5, 4)}
EVEN = np.full(7, 1 / 7)
ROBUST = [Average("median"), Average("trimmed-mean", 2), Average("multi-krum", 2)]


def arrays(seed: int, size: float = 1.0) -> Arrays:
    draw = np.random.default_rng(seed)
    return Arrays({n: size * draw.normal(size=s).astype(np.float32) for n, s in SHAPES.items()})


@pytest.fixture
def start() -> Arrays:
    return arrays(99)


@pytest.fixture
def sent(start) -> list[Arrays]:
    """Seven clients that all moved the same way, more or less."""
    moves = [arrays(50, 0.1)] * 7
    own = [arrays(k, 0.02) for k in range(7)]
    return [
        Arrays({n: start[n] + move[n] + mine[n] for n in SHAPES})
        for move, mine in zip(moves, own, strict=True)
    ]


def contents(sent: list[Arrays]) -> list[RecordDict]:
    return [
        RecordDict({"arrays": to_record(own), "metrics": MetricRecord({"num-examples": 1, "k": k})})
        for k, own in enumerate(sent)
    ]


def assert_same(found: Arrays, expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert value.dtype == np.float32
        np.testing.assert_allclose(value, expected[name], atol=2e-7)


def test_the_mean_is_weighted_by_samples(sent, start):
    weights = np.arange(1, 8) / 28
    assert_same(Average()(sent, weights, start), weighted_mean(sent, weights))


def test_the_median_is_flowers(sent, start):
    LocalGrid(ClientApp(), 1, {})  # a message needs somebody to be from
    question = Message(RecordDict(), message_type="train", dst_node_id=2)
    replies = [Message(content, reply_to=question) for content in contents(sent)]
    theirs, _ = FedMedian().aggregate_train(1, replies)
    ours = Average("median")(sent, EVEN, start)
    assert_same(ours, {name: theirs[name].numpy() for name in theirs})


@pytest.mark.parametrize("faulty", [1, 2, 3])
def test_the_trimmed_mean_is_flowers(sent, start, faulty):
    theirs = {n: trim_mean(np.stack([s[n] for s in sent]), (faulty + 0.4) / 7) for n in SHAPES}
    assert_same(Average("trimmed-mean", faulty)(sent, EVEN, start), theirs)


@pytest.mark.parametrize("faulty", [1, 2])
def test_multi_krum_keeps_whom_flower_keeps(sent, start, faulty):
    # Flower's distances are in float32 on the whole factors: told apart well enough here.
    kept = select_multikrum(contents(sent), faulty, 7 - faulty)
    chosen = [sent[int(content["metrics"]["k"])] for content in kept]
    theirs = {n: np.mean([s[n] for s in chosen], axis=0, dtype=float) for n in SHAPES}
    assert_same(Average("multi-krum", faulty)(sent, EVEN, start), theirs)


def test_multi_krum_tells_near_clients_apart_where_float32_does_not(start):
    """The factors are large, what sets clients apart is small: 30 % off in float32."""
    base = Arrays({n: 100 * v for n, v in start.items()})
    near = [Arrays({n: base[n] + arrays(k, 1e-3)[n] for n in SHAPES}) for k in range(6)]
    far = Arrays({n: base[n] + arrays(9, 4e-3)[n] for n in SHAPES})
    merged = Average("multi-krum", 1)([*near, far], EVEN, base)
    assert_same(merged, {n: np.mean([s[n] for s in near], axis=0, dtype=float) for n in SHAPES})


@pytest.mark.parametrize("average", ROBUST, ids=lambda a: a.rule)
def test_two_clients_of_seven_that_send_garbage_change_little(average, sent, start):
    honest = weighted_mean(sent[:5], np.full(5, 0.2))
    garbage = [arrays(7, 1e3), arrays(8, 1e3)]
    heavy = np.array([0.01] * 5 + [0.45, 0.5])  # they claim to have most of the samples
    far = {
        key: max(np.abs(rule([*sent[:5], *garbage], heavy, start)[n] - honest[n]).max()
                 for n in SHAPES)
        for key, rule in (("mean", Average()), ("robust", average))
    }  # fmt: skip
    assert far["mean"] > 100 and far["robust"] < 0.06


def test_what_nobody_sent_stays_out(sent, start):
    only_b = [own.only("lora_B") for own in sent]
    assert list(Average("median")(only_b, EVEN, start)) == ["x.lora_B"]


@pytest.mark.parametrize("key", ["fedex", "flora", "hetlora", "flexlora", "fedalt"])
def test_a_strategy_with_an_average_of_its_own_refuses(key):
    with pytest.raises(ConfigError, match=rf"robust: {key} averages in a way of its own.* mean"):
        ExperimentConfig.parse({"strategies": ["plora", key], "robust": "median"})
    assert ExperimentConfig.parse({"strategies": [key]}).robust == "mean"


def test_every_other_strategy_has_it():
    own = {"fedex", "flora", "hetlora", "flexlora", "fedalt"}
    for key in set(STRATEGIES) - own:
        rule = ExperimentConfig(strategies=(key,), robust="median").rule(key)
        assert rule.average == Average("median") and rule.takes_any_average()


def test_a_run_that_sends_nothing_is_the_same_however_the_others_are_averaged():
    plain = ExperimentConfig(strategies=("local", "plora"), clients=5)
    robust = changed(plain, robust="trimmed-mean", privacy={"clip": 1, "noise": 1})
    assert robust.for_one("local") == plain.for_one("local")
    assert robust.for_one("plora") != plain.for_one("plora")
    assert changed(plain, faulty_clients=2).for_one("plora") == plain.for_one("plora")


@pytest.mark.parametrize(
    ("values", "needed"),
    [
        ({"robust": "multi-krum", "clients": 4}, "needs 5 clients in every round, and here one"),
        ({"robust": "trimmed-mean", "faulty_clients": 2, "clients": 4}, "needs 5"),
        ({"robust": "median", "clients": 9, "participation": 0.2}, "needs 3 .* here one has 2"),
        ({"robust": "median", "clients": 4, "dropout": 0.9}, "needs 3"),
    ],
)
def test_too_few_clients_are_refused(values, needed):
    with pytest.raises(ConfigError, match=f"^robust: .*{needed}"):
        create(ExperimentConfig.parse({"strategies": ["plora"], **values}))


def test_a_run_with_a_client_that_sends_garbage(tiny, monkeypatch):
    """Where the mean is spoilt, the median is near what it is without that client's garbage."""

    def garbage(self, trained, shared, round_):
        sent = message(self, trained, shared, round_)
        if self.number == 4:
            return Adapter({name: value + 1000 for name, value in sent.items()})
        return sent

    config = changed(tiny, clients=5, strategies=["fedit"], rounds=1, local_steps=1)
    [clean] = run(config)
    message = Client.message
    monkeypatch.setattr(Client, "message", garbage)
    [broken] = run(config)
    [robust] = run(changed(config, robust="median"))

    def loss(summary: reads.Summary) -> float:
        rows = [r for r in reads.evaluations(summary.run) if (r.round, r.variant) == (1, "global")]
        return float(np.mean([row.loss for row in rows]))

    assert broken.status == "failed" or loss(broken) > loss(clean) + 1
    assert robust.status == "done" and abs(loss(robust) - loss(clean)) < 0.1


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_refused_whatever_the_rule(value, tiny, monkeypatch):
    def poisoned(self, trained, shared, round_):
        sent = message(self, trained, shared, round_)
        if self.number == 2:
            list(sent.values())[-1].view(-1)[0] = value  # the last one: ``max`` may miss a NaN
        return sent

    message = Client.message
    monkeypatch.setattr(Client, "message", poisoned)
    values = {"clients": 3, "rounds": 1, "local_steps": 1, "strategies": ["plora"]}
    [summary] = run(changed(tiny, robust="trimmed-mean", **values))
    assert (summary.status, summary.rounds) == ("failed", 0)
    assert "not a number after round 1" in reads.run(summary.run).error
