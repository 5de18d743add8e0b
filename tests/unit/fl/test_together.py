"""Runs of one experiment side by side: each with the numbers that it has alone."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from dataclasses import replace

import pytest
import torch

from db import pacing, reads, writes
from engine.adapters.adapter import VOTES_NAME, Adapter
from engine.fl import checkpoints, cohort_training, training
from engine.fl.client import Client
from engine.fl.cohort import Cohort
from engine.fl.cohort_training import train_cohorts
from engine.fl.context import context_of
from engine.fl.run_config import RunConfig
from engine.jobs import queue
from engine.jobs import worker as worker_module
from engine.jobs.foreground import run_in_foreground
from engine.jobs.worker import execute, registered
from engine.paths import ROOT
from engine.strategies import STRATEGIES
from tests.conftest import wait_for
from tests.helpers.precision import in_double
from tests.helpers.runs import changed, run

KEYS = ["local", "fedit", "plora", "ffa", "ditto", "flora"]


def numbers(run_id: int) -> list[dict[str, object]]:
    """Return every round × client row without what depends on the clock."""
    rows = reads.round_client_rows(run_id)
    return [{k: -1 if v is None else v for k, v in row.items() if k != "seconds"} for row in rows]


def answers(run_id: int, client: int) -> dict[tuple[str, str], str]:
    return {(p.item, p.variant): p.answer for p in reads.predictions(run_id, client)}


@pytest.fixture(scope="module")
def alone(tiny, module_home) -> dict[str, reads.Summary]:
    """Every strategy by itself, three rounds."""
    config = changed(tiny, rounds=3, strategies=KEYS)
    return {summary.strategy: summary for summary in run(config, together=False)}


def same(side_by_side: reads.Summary, alone: reads.Summary) -> None:
    """Check that a run is the one alone, up to the rounding of a fused pass."""
    pairs = zip(numbers(side_by_side.run), numbers(alone.run), strict=True)
    for row, expected in pairs:
        assert row == pytest.approx(expected, rel=1e-3)
    for client in range(2):
        assert answers(side_by_side.run, client) == answers(alone.run, client)


def test_each_run_has_the_numbers_that_it_has_alone(tiny, alone, monkeypatch):
    passes, train_together = [], cohort_training.train_together

    def noted(vlm, jobs, *rest, **how):
        passes.append(len(jobs))
        return train_together(vlm, jobs, *rest, **how)

    monkeypatch.setattr(cohort_training, "train_together", noted)
    for summary in run(changed(tiny, rounds=3, strategies=KEYS)):
        assert summary.status == "done"
        same(summary, alone[summary.strategy])
    assert passes[0] == 10, "two clients of each run but ffa, which trains B alone"


@pytest.mark.parametrize(
    "keys",
    [
        KEYS[:5],
        pytest.param([k for k, r in STRATEGIES.items() if r.trained], marks=pytest.mark.slow),
    ],
    ids=["some", "all"],
)
def test_without_rounding_a_round_of_all_runs_is_a_round_of_each(keys, tiny, tmp_path, monkeypatch):
    config = changed(tiny, strategies=keys)
    context = context_of(config)
    list(context.sets.make_ready([(k, "train") for k in range(2)]))  # in single precision
    get, single = context.sets.get, torch.Tensor.float

    def doubled(client, split):
        samples = get(client, split)
        return replace(samples, features=samples.features.double())

    def trained(keys, folder):
        cohorts = []
        for number, key in enumerate(config.strategies):
            if key in keys:
                own = RunConfig(number, key, config, tmp_path / folder / key)
                sent = {name: v.cumsum(-1).sin() / 30 for name, v in start.items()}
                shared = Adapter(sent).where(own.strategy.is_shared)
                cohorts.append(Cohort([Client(own, k) for k in range(2)], [0, 0], {0: shared}, 1))
        return dict(zip(keys, train_cohorts(cohorts), strict=True))

    monkeypatch.setattr(context.sets, "get", doubled)
    monkeypatch.setattr(cohort_training, "supports_stacking", lambda _: True)
    monkeypatch.setattr(
        torch.Tensor, "float", lambda t: t if t.dtype == torch.double else single(t)
    )
    with in_double(context.vlm.model):
        start = {name: value.double() for name, value in context.initial.items()}
        monkeypatch.setitem(vars(context), "initial", Adapter(start))
        at_once = trained(config.strategies, "at once")
        apart = {key: trained([key], "apart")[key] for key in config.strategies}
    monkeypatch.setattr(torch.Tensor, "float", single)
    for key in config.strategies:
        for one, alone_ in zip(at_once[key], apart[key], strict=True):
            assert one.loss == pytest.approx(alone_.loss, rel=1e-9, nan_ok=True)
            for name, value in alone_.shared.items():
                assert value.dtype == (torch.float if name == VOTES_NAME else torch.double)
                torch.testing.assert_close(one.shared[name], value, rtol=0, atol=1e-9)
    kept = [
        path.relative_to(tmp_path / "apart") for path in tmp_path.glob("apart/**/*.safetensors")
    ]
    assert len(kept) > 4, "of strategies with personal factors"
    for path in kept:
        own, alone_ = (checkpoints.read(tmp_path / way / path) for way in ("at once", "apart"))
        for name, value in alone_.items():
            torch.testing.assert_close(own[name], value, rtol=0, atol=1e-9)


def test_a_run_that_fails_leaves_the_others_as_they_are(tiny, alone, monkeypatch):
    take = cohort_training._Round.take

    def poisoned(self, place, jobs, results):
        if self._cohort.run.strategy_key == "fedit" and self._cohort.round == 3:
            results = [(factors, float("nan")) for factors, _ in results]
        take(self, place, jobs, results)

    monkeypatch.setattr(cohort_training._Round, "take", poisoned)
    local, fedit, plora = run(changed(tiny, rounds=3, strategies=["local", "fedit", "plora"]))
    assert (fedit.status, fedit.rounds) == ("failed", 2)
    assert "not a number" in reads.run(fedit.run).error
    same(local, alone["local"])
    same(plora, alone["plora"])


@pytest.fixture
def heard_at_once(monkeypatch):
    """What people ask is seen at the next step, however short a step is."""
    monkeypatch.setattr(worker_module, "_LOOK_SECONDS", 0.0)


def test_a_run_that_is_stopped_leaves_the_others_as_they_are(
    tiny, alone, heard_at_once, monkeypatch
):
    train = cohort_training._train_jobs

    def stop_fedit(cohort, jobs):
        if cohort.round == 3:
            writes.request_stop(fedit_of(cohort))
        return train(cohort, jobs)

    monkeypatch.setattr(cohort_training, "_train_jobs", stop_fedit)
    local, fedit, plora = run(changed(tiny, rounds=3, strategies=["local", "fedit", "plora"]))
    assert (fedit.status, fedit.rounds) == ("stopped", 2)
    assert {row.round for row in reads.evaluations(fedit.run)} == {0, 1, 2}
    assert reads.predictions(fedit.run, 0), "what is committed is asked for answers"
    same(local, alone["local"])
    same(plora, alone["plora"])


def fedit_of(cohort) -> int:
    experiment = reads.run(cohort.run.run).experiment_id
    return next(r.id for r in reads.runs_of(experiment) if r.strategy == "fedit")


def test_a_stop_within_a_step_lets_the_round_go(tiny, heard_at_once, monkeypatch):
    step, steps = training.losses_of, []

    def stop_in_a_step(*args):
        steps.append(1)
        if len(steps) == 3:  # the first step of round 2
            [run_id] = (r.id for r in reads.runs() if r.status == "running")
            writes.request_stop(run_id)
        return step(*args)

    monkeypatch.setattr(training, "losses_of", stop_in_a_step)
    [summary] = run(changed(tiny, rounds=3, strategies=["plora"]))
    assert (summary.status, summary.rounds) == ("stopped", 1)
    assert len(steps) == 3, "the second step of round 2 is not taken"
    assert {row.round for row in reads.evaluations(summary.run)} == {0, 1}
    assert reads.predictions(summary.run, 0), "what is committed is asked for answers"


def test_a_resumed_run_joins_the_others(tiny, alone, heard_at_once, monkeypatch):
    train, asked = cohort_training._train_jobs, []

    def stop_and_resume(cohort, jobs):
        fedit = fedit_of(cohort)
        if not asked:
            asked.append(writes.request_stop(fedit))
        elif len(asked) == 1 and writes.requeue(fedit):
            asked.append(cohort.round)
        return train(cohort, jobs)

    monkeypatch.setattr(cohort_training, "_train_jobs", stop_and_resume)
    fedit, *others = run(changed(tiny, rounds=3, strategies=["fedit", "local", "plora"]))
    assert asked == [None, 2], "it was stopped in round 1 and resumed when others were in round 2"
    last_start = next(e.at for e in reads.events(fedit.run) if e.text.startswith("Started"))
    assert last_start < min(reads.run(summary.run).finished_at for summary in others)
    for summary in (fedit, *others):
        assert summary.status == "done"
        same(summary, alone[summary.strategy])


KILLED_IN_ROUND_2 = """
import os, signal, time
from db import reads, writes
from engine.fl.flower.recorder import Recorder
from engine.jobs.worker import execute, registered

save = Recorder.save_round

def die(self, row, *rest):
    local, fedit, plora = (run.id for run in reads.runs_of(self.experiment))
    if row.round == 2 and self.run.run == plora:
        while reads.run(local).rounds_done < 2:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)
    if row.round == 2 and self.run.run == fedit:
        signal.pause()
    save(self, row, *rest)

Recorder.save_round = die
with registered(takes_queue=True) as worker:
    execute(writes.claim_next(worker.id), worker)
"""


def test_runs_that_are_killed_after_different_rounds_end_with_the_same_numbers(tiny, alone):
    _, runs = queue.create(changed(tiny, rounds=3, strategies=["local", "fedit", "plora"]))
    died = subprocess.run([sys.executable, "-c", KILLED_IN_ROUND_2], cwd=ROOT, check=False)
    assert died.returncode == -signal.SIGKILL
    queue.mark_interrupted()
    ended = [reads.run(run_id) for run_id in runs]
    assert [(r.status, r.rounds_done) for r in ended] == [
        ("interrupted", 2),
        ("interrupted", 1),
        ("interrupted", 1),
    ]
    for run_id in runs:
        queue.resume(run_id)
    with registered(takes_queue=True) as worker:
        assert execute(writes.claim_next(worker.id), worker) == ["done"] * 3
    for run_id in runs:
        summary = reads.summary(run_id)
        same(summary, alone[summary.strategy])


def test_an_experiment_pauses_steps_and_goes_on(tiny, alone):
    """Each time another worker goes on, as if the one before had died in the pause."""

    def work() -> list[str]:
        with registered(takes_queue=True) as worker:
            return execute(writes.claim_next(worker.id), worker)

    experiment, runs = queue.create(changed(tiny, rounds=3, strategies=["fedit", "plora"]))
    queue.pause(experiment)
    assert work() == ["paused", "paused"]
    assert {reads.run(r).rounds_done for r in runs} == {1}
    assert {reads.run(r).worker_id for r in runs} == {None}
    assert work() == [], "there is nothing to do"
    queue.mark_interrupted()
    with pytest.raises(queue.NotPossible, match=f"experiment {experiment} is paused already"):
        queue.pause(experiment)
    queue.step(experiment)
    assert work() == ["paused", "paused"]
    assert {reads.run(r).rounds_done for r in runs} == {2}
    queue.resume(runs[0])
    assert work() == ["done", "done"]
    for run_id in runs:
        summary = reads.summary(run_id)
        same(summary, alone[summary.strategy])
    for what in (queue.pause, queue.step, queue.go_on):
        with pytest.raises(queue.NotPossible, match=f"experiment {experiment} is over|running"):
            what(experiment)


def test_a_paused_run_that_is_stopped_gives_its_answers(tiny):
    experiment, [fedit, plora] = queue.create(
        changed(tiny, rounds=3, strategies=["fedit", "plora"])
    )
    queue.pause(experiment)
    with registered(takes_queue=True) as worker:
        execute(writes.claim_next(worker.id), worker)
        queue.stop(fedit)
        assert execute(writes.claim_next(worker.id), worker) == ["stopped"]
    assert reads.predictions(fedit, 0)
    assert (reads.run(plora).status, reads.run(plora).rounds_done) == ("paused", 1)


def test_who_goes_on_while_the_worker_is_leaving_is_not_forgotten(tiny):
    experiment, [run_id] = queue.create(changed(tiny, strategies=["plora"]))
    with registered(takes_queue=True) as worker:
        queue.pause(experiment)
        assert writes.claim_next(worker.id) == [run_id] and writes.start_run(run_id)
        queue.go_on(experiment)
        pacing.leave_paused(experiment, {run_id: 1.0}, keeps_worker=False)
        assert writes.claim_next(worker.id) == [run_id]


def test_the_foreground_waits_in_a_pause(tiny, alone):
    config = changed(tiny, rounds=3, strategies=["plora"])

    def pause_and_go_on():
        [row] = wait_for(lambda: [r for r in reads.runs() if r.status == "running"])
        queue.pause(row.experiment_id)
        wait_for(lambda: reads.run(row.id).status == "paused")
        queue.go_on(row.experiment_id)

    user = threading.Thread(target=pause_and_go_on)
    user.start()
    _, [run_id] = run_in_foreground(config, show=False)
    user.join()
    texts = [event.text for event in reads.events(run_id)]
    assert any(text.startswith("Paused after round") for text in texts)
    same(reads.summary(run_id), alone["plora"])
