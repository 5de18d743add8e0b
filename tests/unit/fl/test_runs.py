"""What a run must do, on tiny real ones."""

import numpy as np
import pytest
import torch
from peft.tuners.tuners_utils import BaseTunerLayer

from db import reads, writes
from engine.adapters.adapter import B
from engine.fl import checkpoints, participation
from engine.fl.client import Client
from engine.fl.context import context_of
from engine.fl.evaluation import Task, score_teacher_forced
from engine.fl.flower import client_app as client_module
from engine.fl.flower import server_app as server_module
from engine.fl.run_config import RunConfig
from engine.jobs import queue
from engine.jobs.worker import execute, registered
from engine.paths import run_folder
from engine.results import ask
from engine.strategies import STRATEGIES
from tests.helpers.runs import changed, record_wire, run


def server_state(run_id: int, round_: int) -> dict[str, torch.Tensor]:
    return checkpoints.read(checkpoints.server_path(run_folder(run_id), round_))


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def test_all_strategies_run_and_fill_every_table(tiny):
    config = changed(tiny, strategies=list(STRATEGIES), rounds=1, local_steps=1)
    found = {summary.strategy: summary for summary in run(config)}
    assert {s.status for s in found.values()} == {"done"}
    assert [found[key].rounds for key in STRATEGIES] == [0] + [1] * (len(STRATEGIES) - 1)
    for key, summary in found.items():
        assert summary.base_accuracy is not None and summary.pooled_accuracy is not None
        assert summary.wall_seconds > 0 and summary.peak_rss_mb > 0
        assert (summary.global_accuracy is None) == ("global" not in STRATEGIES[key].variants)
        stored = reads.predictions(summary.run, 1)
        assert len(stored) == 48 * (1 + len(STRATEGIES[key].variants))
        assert any("Done" in event.text for event in reads.events(summary.run))
    assert len(reads.rounds(found["plora"].run)) == 1
    assert len(reads.client_rounds(found["plora"].run)) == 2
    profiles = reads.clients(reads.run(found["plora"].run).experiment_id)
    assert [p.client for p in profiles] == [0, 1] and profiles[0].answers


def test_before_training_all_variants_are_the_base_bit_for_bit(tiny):
    client = Client(RunConfig(1, "plora", tiny, run_folder(1)), 0)
    shared = client.context.initial.only(B)
    data = client.context.sets.get(0, "test")
    [untouched] = score_teacher_forced(client.context.vlm, [Task(client.context.initial, data)])
    for variant in ("base", "global", "personal"):
        [found] = score_teacher_forced(
            client.context.vlm, [Task(client.factors(variant, shared, 0), data)]
        )
        assert (found.mean_loss, found.accuracy) == (untouched.mean_loss, untouched.accuracy)
    # Without any adapter the model computes the same numbers: B = 0 adds exactly nothing.
    client.context.vlm.load_factors(client.context.initial)
    with torch.no_grad():
        adapted = client.context.vlm.answer_logits(data)
        layers = [m for m in client.context.vlm.model.modules() if isinstance(m, BaseTunerLayer)]
        assert layers
        for layer in layers:
            layer.enable_adapters(False)
        bare = client.context.vlm.answer_logits(data)
        for layer in layers:
            layer.enable_adapters(True)
    assert torch.equal(adapted, bare)


def test_one_client_makes_every_method_local_training(tiny):
    config = changed(tiny, clients=1, strategies=["local", "fedit", "plora"])
    local, fedit, plora = run(config)
    own = checkpoints.read_personal(run_folder(local.run), 0, round_=2)
    assert same(own, server_state(fedit.run, 2))
    mixed = server_state(plora.run, 2) | checkpoints.read_personal(run_folder(plora.run), 0, 2)
    assert same(own, mixed)
    assert local.personal_accuracy == fedit.global_accuracy == plora.personal_accuracy


def test_the_server_keeps_the_mean_weighted_by_samples(tiny, monkeypatch):
    wire = record_wire(monkeypatch)
    apart = {"kind": "quantity", "level": 1.0}
    [summary] = run(changed(tiny, strategies=["plora"], rounds=1, heterogeneity=apart))
    replies = [m for m in wire if "metrics" in m.content and "loss" in m.content["metrics"]]
    counts = np.array([reply.content["metrics"]["num-examples"] for reply in replies])
    assert len(set(counts.tolist())) > 1, "weights that are all alike prove nothing"
    for name, mean in server_state(summary.run, 1).items():
        parts = [reply.content["arrays"][name].numpy() for reply in replies]
        expected = np.tensordot(counts / counts.sum(), parts, axes=1)
        np.testing.assert_allclose(mean.numpy(), expected, atol=1e-7)


def test_each_client_keeps_an_a_of_its_own(tiny):
    [summary] = run(changed(tiny, strategies=["plora"]))
    first, second = (checkpoints.read_personal(run_folder(summary.run), k, 2) for k in (0, 1))
    assert first.keys() == second.keys() and all(name.endswith("lora_A") for name in first)
    assert not same(first, second)


class Killed(BaseException):
    pass


KILLED = {  # in which call of what a run of three rounds dies, and how many rounds are committed
    "before any training": (client_module, "train_cohorts", 1, 0),
    "while a round is trained": (client_module, "train_cohorts", 2, 1),
    "while a round is tested": (client_module, "evaluate_cohorts", 3, 1),
    "between checkpoint and commit": (server_module.Recorder, "save_round", 2, 1),
    "between two rounds": (server_module.LoraStrategy, "configure_train", 3, 2),
    "while answers are written": (client_module, "evaluate_cohorts", 4, 3),
}


@pytest.fixture(scope="module")
def whole(tiny, module_home):
    """A run of three rounds that nobody has disturbed."""
    [summary] = run(changed(tiny, clients=3, participation=0.67, rounds=3, strategies=["plora"]))
    return summary


@pytest.mark.parametrize("when", KILLED)
def test_a_killed_run_resumes_to_the_same_numbers(when, tiny, whole, monkeypatch):
    owner, name, last_call, committed = KILLED[when]
    config = changed(tiny, clients=3, participation=0.67, rounds=3, strategies=["plora"])
    alive, calls = getattr(owner, name), []

    def die(*args):
        calls.append(args)
        if len(calls) == last_call:
            raise Killed
        return alive(*args)

    monkeypatch.setattr(owner, name, die)
    with registered(takes_queue=False) as worker:
        _, [run_id] = queue.create(config, worker_id=worker.id)
        with pytest.raises(Killed):
            execute([run_id], worker)
        monkeypatch.setattr(owner, name, alive)
        assert reads.run(run_id).rounds_done == committed
        writes.requeue(run_id)
        execute([run_id], worker)
    resumed = reads.summary(run_id)
    assert same(server_state(run_id, 3), server_state(whole.run, 3))
    for field in ("personal_accuracy", "global_accuracy", "pooled_accuracy", "bytes_up"):
        assert getattr(resumed, field) == getattr(whole, field)
    before, after = (reads.round_client_rows(summary.run) for summary in (whole, resumed))
    for row in (*before, *after):
        row.pop("seconds")
    assert before == after


def test_a_run_that_is_asked_to_stop_keeps_its_rounds_and_is_evaluated(tiny, monkeypatch):
    save_round = server_module.Recorder.save_round

    def ask_after_round_one(self, row, *rest):
        save_round(self, row, *rest)
        writes.request_stop(self.run.run)

    monkeypatch.setattr(server_module.Recorder, "save_round", ask_after_round_one)
    [summary] = run(changed(tiny, rounds=5, strategies=["plora"]))
    assert (summary.status, summary.rounds) == ("stopped", 1)
    assert {row.round for row in reads.evaluations(summary.run)} == {0, 1}
    assert reads.predictions(summary.run, 0)


def test_a_stop_in_the_last_round_comes_too_late(tiny, monkeypatch):
    save_round = server_module.Recorder.save_round

    def ask_in_the_last_round(self, round_, *rest):
        save_round(self, round_, *rest)
        if round_ == 2:
            writes.request_stop(self.run.run)

    monkeypatch.setattr(server_module.Recorder, "save_round", ask_in_the_last_round)
    [summary] = run(changed(tiny, strategies=["fedit"]))
    assert (summary.status, summary.rounds) == ("done", 2)


def test_a_fault_in_a_client_fails_the_run_with_its_reason(tiny, monkeypatch):
    def fail(*_):
        raise ArithmeticError("the training loss is not a finite number")

    monkeypatch.setattr(client_module, "train_cohorts", fail)
    [summary] = run(changed(tiny, strategies=["fedit"]))
    assert summary.status == "failed"
    assert "not a finite number" in reads.run(summary.run).error


def test_a_rounds_clients_are_sampled_and_test_what_came_of_it(tiny):
    values = {"clients": 4, "participation": 0.5, "dropout": 0.3, "rounds": 4}
    [summary] = run(changed(tiny, strategies=["plora"], **values))
    trained, tested = ([set() for _ in range(5)] for _ in range(2))
    for found, rows in (
        (trained, reads.client_rounds(summary.run)),
        (tested, reads.evaluations(summary.run)),
    ):
        for row in rows:
            found[row.round].add(row.client)
    assert {1, 2} == set(map(len, trained[1:])), "two are sampled, some drop out"
    assert tested == [trained[1], *trained[1:4], {0, 1, 2, 3}]


def test_a_round_is_committed_with_its_scores_before_the_next_begins(tiny, monkeypatch):
    known, train = [], client_module.train_cohorts

    def look_and_train(cohorts):
        run_id = cohorts[0].run.run
        scored = {row.round for row in reads.evaluations(run_id)}
        known.append((reads.run(run_id).rounds_done, scored))
        return train(cohorts)

    monkeypatch.setattr(client_module, "train_cohorts", look_and_train)
    run(changed(tiny, rounds=3, strategies=["plora"]))
    assert known == [(0, {0}), (1, {0, 1}), (2, {0, 1, 2})]


@pytest.mark.parametrize("key", ["local", "centralized", "plora", "flora", "hetlora", "feddpa"])
def test_a_round_is_scored_as_if_it_were_the_last(key, tiny):
    mixed = {"client_ranks": [8, 3]} if STRATEGIES[key].mixed_ranks else {}
    config = changed(tiny, strategies=[key], lora={**tiny.lora.model_dump(), **mixed})
    summaries = run(config)[0], run(changed(config, rounds=1))[0]
    here, there = (
        {
            (row.client, row.variant, row.scope): (row.loss, row.accuracy)
            for row in reads.evaluations(summary.run)
            if row.round == 1 and row.variant != "base"
        }
        for summary in summaries
    )
    assert here == there and len(here) == 4 * len(STRATEGIES[key].variants)


def test_a_live_run_is_asked_at_its_newest_round(tiny):
    [summary] = run(changed(tiny, rounds=3, strategies=["plora"]))
    stale = reads.run(summary.run)
    stale.rounds_done = 1  # as read before the model was loaded; its checkpoint is pruned by now
    assert not checkpoints.server_path(run_folder(summary.run), 1).exists()
    items = context_of(tiny).dataset.examples(0, "test")
    found = ask._answers(stale, 0, "personal", items)
    stored = {p.item: p for p in reads.predictions(summary.run, 0) if p.variant == "personal"}
    assert [answer.text for answer in found] == [stored[item.item].answer for item in items]


def test_an_absent_checkpoint_is_an_error_and_not_an_untrained_model(tmp_path):
    with pytest.raises(FileNotFoundError):
        checkpoints.read(tmp_path / "server-0001.safetensors")


def test_predict_gives_what_the_run_stored_and_ask_uses_the_fedit_run(tiny):
    fedit, plora = run(tiny)
    stored = {p.item: p for p in reads.predictions(plora.run, 1) if p.variant == "personal"}
    for row in ask.predict(plora.run, 1, "personal"):
        assert row["answer"] == stored[row["item"]].answer
        assert row["correct"] == stored[row["item"]].correct
    item = context_of(tiny).dataset.examples(1, "test")[0]
    found = {a.variant: a for a in ask.ask(plora.run, 1, item.image, item.question)}
    assert list(found) == ["base", "global", "personal"]
    assert f"run {fedit.run}" in found["global"].source
    assert found["personal"].text == stored[item.item].answer
    with pytest.raises(queue.NotPossible, match="allowed: base, global"):
        ask.predict(fedit.run, 0, "personal")
    with pytest.raises(queue.NotPossible, match="clients 0 to 1"):
        ask.ask(plora.run, 2, item.image, item.question)
    with pytest.raises(queue.NotPossible, match="question"):
        ask.ask(plora.run, 0, item.image, "  ")


def test_a_thousand_clients_are_met_but_only_a_few_looked_at(tiny):
    config = changed(tiny, clients=1000, participation=0.002, rounds=1, strategies=["plora"])
    chosen = participation.tested(config)
    assert len(set(chosen)) == config.clients_tested == 64
    assert chosen != list(range(64))
    assert participation.tested(changed(tiny)) == [0, 1]
