"""What goes wrong in a run ends it with one sentence, and what it has found stays."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from db import reads
from engine.config import ExperimentConfig
from engine.fl import checkpoints, cohort_training
from engine.fl import context as context_module
from engine.fl.client import Client
from engine.fl.flower import strategy as server
from engine.fl.participation import participants
from engine.fl.run_config import RunConfig
from engine.jobs.queue import NotPossible
from engine.jobs.stored import run_config
from engine.paths import run_folder
from engine.results.newest import at_newest
from engine.strategies import STRATEGIES
from tests.helpers.runs import run


def changed(config: ExperimentConfig, **values) -> ExperimentConfig:
    return ExperimentConfig.parse({**config.model_dump(), **values})


def fails_in_round_2(config: ExperimentConfig, sentence: str) -> None:
    [summary] = run(changed(config, rounds=3, strategies=["fedit"]))
    assert (summary.status, summary.rounds) == ("failed", 1)
    error = reads.run(summary.run).error
    assert error.startswith(sentence) and "learning_rate" in error and "\n" not in error
    assert {row.round for row in reads.evaluations(summary.run)} == {0, 1}
    assert summary.global_accuracy is not None


def test_a_training_loss_that_is_no_number(tiny, monkeypatch):
    def poisoned(vlm, jobs, *args, **how):
        results = train_together(vlm, jobs, *args, **how)
        calls.append(len(jobs))
        return results if len(calls) == 1 else [(factors, float("nan")) for factors, _ in results]

    train_together, calls = cohort_training.train_together, []
    monkeypatch.setattr(cohort_training, "train_together", poisoned)
    fails_in_round_2(tiny, "the training loss is not a number after round 2")


def test_a_mean_that_is_no_number(tiny, monkeypatch):
    def poisoned(self, sent, weights, before, scale, rank):
        merged = merge(self, sent, weights, before, scale, rank)
        calls.append(sent)
        if len(calls) == 2:
            next(iter(merged.values()))[0, 0] = np.inf
        return merged

    merge, calls = STRATEGIES["fedit"].merge, []
    monkeypatch.setattr(STRATEGIES["fedit"], "merge", poisoned)
    fails_in_round_2(tiny, "the mean of the factors is not a number after round 2")


def test_a_test_loss_that_is_no_number(tiny, monkeypatch):
    def poisoned(vlm, tasks):
        found = scored(vlm, tasks)
        calls.append(tasks)
        if len(calls) < 3:
            return found
        return [replace(items, loss=items.loss * torch.nan) for items in found]

    scored, calls = context_module.score_teacher_forced, []
    monkeypatch.setattr(context_module, "score_teacher_forced", poisoned)
    fails_in_round_2(tiny, "the loss is not a number after round 2")


def test_too_much_noise_is_said_in_a_sentence(tiny):
    values = {"privacy": {"clip": 1000, "noise": 100}, "lora": {"rank": 4, "alpha": 256}}
    [summary] = run(changed(tiny, strategies=["fedit"], rounds=2, **values))
    assert summary.status == "failed"
    assert " is not a number after round " in reads.run(summary.run).error
    assert "SQL" not in reads.run(summary.run).error


def test_personal_factors_that_were_pruned_are_not_read_as_none(tiny):
    config = changed(tiny, rounds=4, strategies=["plora"])
    [summary] = run(config)
    folder = run_folder(summary.run)
    client = Client(RunConfig(summary.run, "plora", config, folder), 0)
    assert client.factors("personal", checkpoints.read_shared(folder, 4), 4)
    with pytest.raises(FileNotFoundError):
        client.factors("personal", client.context.initial, 1)


def test_who_has_not_taken_part_yet_has_no_factors_of_its_own(tiny):
    config = changed(tiny, clients=6, participation=0.34, rounds=2, strategies=["plora"])
    [summary] = run(config)
    folder = run_folder(summary.run)
    stored = RunConfig(summary.run, "plora", config, folder)
    shared = checkpoints.read_shared(folder, 2)
    took_part = {k for round_ in (1, 2) for k in participants(config, round_)}
    for k in range(6):
        client = Client(stored, k)
        own = client.factors("personal", shared, 2).only("lora_A")
        same = all(torch.equal(v, client.context.initial[name]) for name, v in own.items())
        assert same == (k not in took_part)
    assert len(took_part) < 6


def test_a_live_run_is_read_at_its_newest_round(tiny, monkeypatch):
    [summary] = run(changed(tiny, rounds=4, strategies=["plora"]))
    stale = reads.run(summary.run)
    stale.rounds_done = 1  # as it was when the model began to load
    rows = [stale, reads.run(summary.run)]
    monkeypatch.setattr(reads, "run", lambda run_id: rows.pop(0))
    stored = run_config(rows[-1])
    assert at_newest(stored, lambda shared, last: (bool(shared), last)) == (True, 4)
    rows += [stale] * 3
    with pytest.raises(NotPossible, match="factors after round 1 are missing"):
        at_newest(stored, lambda shared, last: shared)


def test_the_servers_training_counts_as_training(tiny, monkeypatch):
    def slow(*args):
        time.sleep(0.4)
        return train(*args)

    train = server.train_pooled
    monkeypatch.setattr(server, "train_pooled", slow)
    [summary] = run(changed(tiny, rounds=1, strategies=["centralized"]))
    assert summary.train_seconds > 0.4
