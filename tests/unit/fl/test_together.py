"""Runs of one experiment side by side: each with the numbers that it has alone."""

from __future__ import annotations

import threading

import pytest

from db import pacing, reads, writes
from engine.config import ExperimentConfig
from engine.fl import cohort_training
from engine.jobs import queue
from engine.jobs.worker import execute, registered
from tests.conftest import wait_for
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


def test_a_run_that_fails_leaves_the_others_as_they_are(tiny, alone, monkeypatch):
    take = cohort_training._Round.take

    def poisoned(self, place, jobs, results):
        if self.cohort.run.strategy_key == "fedit" and self.cohort.round == 3:
            results = [(factors, float("nan")) for factors, _ in results]
        take(self, place, jobs, results)

    monkeypatch.setattr(cohort_training._Round, "take", poisoned)
    local, fedit, plora = run(changed(tiny, rounds=3, strategies=["local", "fedit", "plora"]))
    assert (fedit.status, fedit.rounds) == ("failed", 2)
    assert "not a number" in reads.run(fedit.run).error
    same(local, alone["local"])
    same(plora, alone["plora"])


def test_a_run_that_is_stopped_leaves_the_others_as_they_are(tiny, alone, monkeypatch):
    take = cohort_training._Round.take

    def stop_fedit(self, place, jobs, results):
        if self.cohort.run.strategy_key == "fedit" and self.cohort.round == 2:
            writes.request_stop(self.cohort.run.run)
        take(self, place, jobs, results)

    monkeypatch.setattr(cohort_training._Round, "take", stop_fedit)
    local, fedit, plora = run(changed(tiny, rounds=3, strategies=["local", "fedit", "plora"]))
    assert fedit.status == "stopped" and fedit.rounds in (1, 2)
    same(local, alone["local"])
    same(plora, alone["plora"])


def test_a_stop_within_a_step_lets_the_round_go(tiny, monkeypatch):
    train = cohort_training._train_jobs

    def ask_and_wait(cohort, jobs):
        if cohort.round == 2:
            writes.request_stop(cohort.run.run)
            wait_for(lambda: cohort_training.interruption.is_stopped(cohort.run.run))
        return train(cohort, jobs)

    monkeypatch.setattr(cohort_training, "_train_jobs", ask_and_wait)
    [summary] = run(changed(tiny, rounds=3, strategies=["plora"]))
    assert (summary.status, summary.rounds) == ("stopped", 1)
    assert {row.round for row in reads.evaluations(summary.run)} == {0, 1}
    assert reads.predictions(summary.run, 0), "what is committed is asked for answers"


def test_an_experiment_pauses_steps_and_goes_on(tiny, alone):
    config: ExperimentConfig = changed(tiny, rounds=3, strategies=["fedit", "plora"])
    with registered(takes_queue=False) as worker:
        experiment, runs = queue.create(config, worker_id=worker.id)
        assert queue.pause(runs[0]) == experiment
        thread = threading.Thread(target=execute, args=(runs, worker))
        thread.start()
        for done in (1, 2):
            wait_for(lambda: {reads.run(r).status for r in runs} == {"paused"})
            assert {reads.run(r).rounds_done for r in runs} == {done}
            if done == 1:
                queue.step(runs[1])
                wait_for(lambda: {reads.run(r).rounds_done for r in runs} == {2})
        with pytest.raises(queue.NotPossible, match="paused already"):
            queue.pause(runs[0])
        queue.resume(runs[0])
        thread.join(120)
    assert pacing.round_limit(experiment) is None
    for run_id in runs:
        summary = reads.summary(run_id)
        assert summary.status == "done"
        same(summary, alone[summary.strategy])
    with pytest.raises(queue.NotPossible, match="only a queued or running"):
        queue.pause(runs[0])


def test_a_paused_experiment_makes_room_and_survives_its_worker(tiny, alone):
    with registered(takes_queue=True) as worker:
        _, [run_id] = queue.create(changed(tiny, rounds=3, strategies=["plora"]))
        queue.pause(run_id)
        _, [waiting] = queue.create(changed(tiny, rounds=1, strategies=["fedit"]))
        assert writes.claim_next(worker.id) == [run_id]
        assert execute([run_id], worker) == ["paused"], "another experiment waits"
        assert reads.run(run_id).worker_id is None
        assert writes.claim_next(worker.id) == [waiting]
    queue.mark_interrupted()
    assert (reads.run(run_id).status, reads.run(run_id).rounds_done) == ("paused", 1)
    with registered(takes_queue=True) as worker:
        queue.resume(run_id)
        assert writes.claim_next(worker.id) == [run_id]
        execute([run_id], worker)
    same(reads.summary(run_id), alone["plora"])
