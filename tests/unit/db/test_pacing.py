"""What people may ask of an experiment while it trains, and how far it has come."""

from __future__ import annotations

from datetime import timedelta

import pytest

from db import pacing, reads, writes
from db.progress import progress
from db.tables import Round, now


def new_experiment(**rounds: int) -> tuple[int, list[int]]:
    return writes.create_experiment({"name": "x", "clients": 2}, rounds)


def commit(run_id: int, round_: int, seconds: float, ago: float = 0.0) -> None:
    row = Round(run_id=run_id, round=round_, seconds=seconds)
    row.finished_at = now() - timedelta(seconds=ago)
    writes.save_round(writes.RoundRecord(row, [], []))


def started(runs: list[int]) -> None:
    writes.claim_next(7)
    assert all(writes.start_run(run_id) for run_id in runs)


def test_a_pause_is_after_the_round_at_work_of_the_last_run():
    experiment, [fedit, plora] = new_experiment(fedit=3, plora=3)
    started([fedit, plora])
    commit(fedit, 1, 1.0)
    commit(fedit, 2, 1.0)
    commit(plora, 1, 1.0)
    assert pacing.pause(experiment) and pacing.orders(experiment).round_limit == 2
    assert not pacing.pause(experiment), "it is paused"
    assert pacing.step(experiment) and pacing.orders(experiment).round_limit == 3
    assert pacing.go_on(experiment) and pacing.orders(experiment).round_limit is None
    assert not pacing.go_on(experiment) and not pacing.step(experiment)


def test_what_is_over_cannot_pause():
    experiment, [run_id] = new_experiment(fedit=3)
    started([run_id])
    writes.end_run(run_id, "done")
    assert not pacing.pause(experiment)


def test_a_paused_run_waits_without_a_worker_until_it_may_go_on():
    experiment, [run_id] = new_experiment(fedit=3)
    started([run_id])
    pacing.pause(experiment)
    commit(run_id, 1, 1.0)
    pacing.leave_paused(experiment, {run_id: 2.5}, keeps_worker=False)
    row = reads.run(run_id)
    assert (row.status, row.worker_id, row.wall_seconds) == ("paused", None, 2.5)
    assert not reads.are_runs_lost() and reads.next_queued() is None
    assert pacing.step(experiment)
    assert writes.claim_next(8) == [run_id]


def test_a_paused_run_of_a_process_that_is_gone_is_anybodys():
    experiment, [run_id] = writes.create_experiment({"name": "x"}, {"fedit": 3}, worker_id=5)
    writes.start_run(run_id)
    pacing.pause(experiment)
    commit(run_id, 1, 1.0)
    pacing.leave_paused(experiment, {run_id: 1.0}, keeps_worker=True)
    assert reads.run(run_id).worker_id == 5
    writes.remove_workers([])
    assert (reads.run(run_id).status, reads.run(run_id).worker_id) == ("paused", None)


def test_progress_counts_all_runs_and_their_slowest_way():
    experiment, [fedit, plora] = new_experiment(fedit=10, plora=10)
    assert progress(experiment).seconds_left is None, "nothing is measured yet"
    started([fedit, plora])
    for round_ in range(1, 5):
        commit(fedit, round_, 2.0, ago=1.0)
    commit(plora, 1, 3.0, ago=1.5)
    now_ = progress(experiment)
    assert (now_.done, now_.planned, now_.share) == (5, 20, 0.25)
    # nine rounds of three seconds, of which one second is over since the last commit
    assert now_.seconds_left == pytest.approx(9 * 3.0 - 1.0, abs=0.5)


def test_progress_of_a_run_that_waits_for_another_comes_after_it():
    experiment, [fedit, plora] = new_experiment(fedit=2, plora=3)
    writes.start_run(fedit)
    commit(fedit, 1, 4.0)
    assert progress(experiment).seconds_left == pytest.approx(1 * 4.0 + 3 * 4.0, abs=0.5)


def test_what_has_ended_early_is_not_waited_for():
    experiment, [fedit, plora] = new_experiment(fedit=2, plora=2)
    started([fedit, plora])
    for run_id in (fedit, plora):
        commit(run_id, 1, 1.0)
    commit(fedit, 2, 1.0)
    writes.end_run(fedit, "done")
    writes.end_run(plora, "failed", error="x")
    assert progress(experiment) == type(progress(experiment))(3, 3, 0.0)
