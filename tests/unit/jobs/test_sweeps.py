"""A sweep is one entry of the queue: what is stored is reused, and a kill loses or repeats nothing.

Nothing is trained in most of these: runs are marked done by hand.
"""

from __future__ import annotations

import os
import signal

import pytest

from db import keeping, reads, sweeps, writes
from db.engine import writing
from db.tables import Experiment
from engine.config import ConfigError
from engine.jobs import queue
from engine.jobs import sweeps as sweeping
from engine.jobs.foreground import run_sweep_in_foreground
from engine.system.processes import is_alive
from tests.conftest import wait_for
from tests.helpers.runs import changed


def finish(*runs: int) -> None:
    for run_id in runs:
        writes.start_run(run_id)
        writes.end_run(run_id, "done")


def own(sweep: int) -> list[int]:
    return [row.run for row in sweeps.runs(sweep) if not row.reused]


def test_what_is_done_anywhere_in_the_home_is_reused_by_strategy(tiny, started):
    _, [fedit, plora] = queue.create(changed(tiny, name="on its own", seed=1))
    finish(fedit)
    sweep = sweeping.submit(changed(tiny, repeats=3))
    rows = {(row.point, row.strategy): row for row in sweeps.runs(sweep)}
    assert rows[1, "fedit"].run == fedit and rows[1, "fedit"].reused
    assert rows[1, "plora"].run != plora, "that one is not done"
    assert len(own(sweep)) == 5 and started == ["worker"]
    finish(*own(sweep))
    again = sweeping.submit(changed(tiny, name="another name", repeats=3))
    assert own(again) == [] and {r.run for r in sweeps.runs(again)} == {
        row.run for row in rows.values()
    }
    wider = sweeping.submit(changed(tiny, repeats=2, sweep={"rounds": [2, 3]}))
    assert len(own(wider)) == 4, "of those with 2 rounds, all are there"


def test_points_that_are_the_same_federation_share_a_run(tiny):
    kinds = {"heterogeneity.kind": ["label", "concept"], "heterogeneity.level": [0, 1]}
    sweep = sweeping.create(changed(tiny, strategies=["fedit"], sweep=kinds))
    runs = [row.run for row in sweeps.runs(sweep)]
    assert len(runs) == 4 and len(set(runs)) == 3, "at level 0 all kinds are one"


def test_other_weights_or_another_dtype_are_not_the_same_run(tiny):
    _, [fedit] = queue.create(changed(tiny, strategies=["fedit"]))
    finish(fedit)
    two = changed(tiny, strategies=["fedit"], repeats=2)
    assert len(own(sweeping.create(two))) == 1
    with writing() as session:
        stored = session.get_one(Experiment, reads.run(fedit).experiment_id)
        model = {**stored.resolved["model"], "digest": "other weights"}
        stored.resolved = {**stored.resolved, "model": model}
    assert len(own(sweeping.create(two))) == 2


def test_nothing_is_inserted_where_a_point_cannot_run(tiny):
    with pytest.raises(ConfigError, match=r"device: .*\(in Tiny · lora.rank=1\)"):
        sweeping.submit(changed(tiny, device="mps", sweep={"lora.rank": [1, 2]}))
    assert sweeps.sweeps() == [] and len(reads.experiment_names()) == 0
    with pytest.raises(ValueError, match="more than one experiment"):
        queue.create(changed(tiny, repeats=2))


def test_a_sweep_is_stopped_paused_and_resumed_as_one(tiny, started):
    sweep = sweeping.submit(changed(tiny, strategies=["fedit"], repeats=3))
    first, *rest = own(sweep)
    sweeping.pause(sweep)
    assert reads.next_queued() is None
    with pytest.raises(queue.NotPossible, match="paused already"):
        sweeping.pause(sweep)
    sweeping.resume(sweep)
    assert reads.next_queued().id == first
    finish(first)
    sweeping.stop(sweep)
    assert [reads.run(run).status for run in rest] == ["stopped", "stopped"]
    for act in (sweeping.stop, sweeping.pause):
        with pytest.raises(queue.NotPossible, match=f"sweep {sweep} is over"):
            act(sweep)
    sweeping.resume(sweep)
    assert [reads.run(run).status for run in (first, *rest)] == ["done", "queued", "queued"]
    finish(*rest)
    with pytest.raises(queue.NotPossible, match="nothing left to resume"):
        sweeping.resume(sweep)
    with pytest.raises(sweeps.NoSuchSweep):
        sweeping.resume(99)


def test_what_was_deleted_of_a_sweep_is_made_anew_when_it_is_resumed(tiny):
    sweep = sweeping.create(changed(tiny, strategies=["fedit"], repeats=2))
    gone, kept = own(sweep)
    finish(gone, kept)
    keeping.delete_runs([gone])
    assert own(sweep) == [kept]
    keeping.restore_runs([gone])
    assert own(sweep) == [gone, kept]
    keeping.delete_runs([gone])
    sweeping.resume(sweep)
    new, same = own(sweep)
    assert same == kept and reads.run(new).status == "queued"


def test_in_the_foreground_points_run_one_after_another_and_stopped_ones_do_not_begin(
    tiny, monkeypatch
):
    from engine.jobs import foreground

    order = []

    def execute(runs, worker):
        order.append(runs)
        finish(*runs)
        if len(order) == 2:
            sweeping.stop(sweeps.sweeps()[0].id)

    monkeypatch.setattr(foreground, "execution", lambda: None)
    monkeypatch.setattr(foreground, "execute", execute)
    sweep = run_sweep_in_foreground(changed(tiny, repeats=4), show=False)
    runs = own(sweep)
    assert order == [runs[:2], runs[2:4]]
    assert {reads.run(run).status for run in runs[4:]} == {"stopped"}


@pytest.mark.real_worker
def test_a_worker_killed_in_the_middle_and_resumed_trains_nothing_twice(tiny):
    config = changed(tiny, strategies=["plora"], rounds=3, repeats=3)
    sweep = sweeping.submit(config)
    first, second, third = own(sweep)
    wait_for(lambda: reads.run(second).rounds_done >= 1)
    [worker] = [row for row in reads.workers() if is_alive(row)]
    os.kill(worker.pid, signal.SIGKILL)
    wait_for(lambda: (queue.mark_interrupted(), reads.run(second).status != "running")[1])
    assert [reads.run(run).status for run in (first, third)] == ["done", "queued"]
    ended = reads.run(first).finished_at
    if reads.run(second).status == "interrupted":  # else it was just done
        sweeping.resume(sweep)
    wait_for(lambda: all(reads.run(run).status == "done" for run in (second, third)))
    assert own(sweep) == [first, second, third] and reads.run(first).finished_at == ended
    starts = {run: [e.text for e in reads.events(run) if "Started" in e.text] for run in own(sweep)}
    assert len(starts[first]) == len(starts[third]) == 1
    assert starts[second][0] != "Started from round 0.", "its committed rounds are kept"
    for run in own(sweep):
        assert [row.round for row in reads.rounds(run)] == [1, 2, 3]
    for row in reads.workers():
        if is_alive(row):
            os.kill(row.pid, signal.SIGKILL)
