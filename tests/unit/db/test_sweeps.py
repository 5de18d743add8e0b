"""Sweeps in the database: which run stands for which point, what is held, what old files lack."""

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, delete, text

from db import reads, sweeps, writes
from db.engine import MIGRATIONS, database_url, reading, writing
from db.sweeps import PlannedPoint
from db.tables import Experiment, Round, Run
from engine.jobs.queue import mark_interrupted


def planned(point: int, *, stored=None, same_as=None, **rounds: int) -> PlannedPoint:
    config = {"name": f"point {point}", "seed": point}
    return PlannedPoint(point, config, {}, (), rounds, stored or {}, same_as or {})


def new_sweep(*points: PlannedPoint) -> int:
    return sweeps.create({"name": "a sweep"}, points, worker_id=None)


def commit(run_id: int, round_: int, seconds: float) -> None:
    row = Round(run_id=run_id, round=round_, seconds=seconds)
    writes.save_round(writes.RoundRecord(row, [], []))


def test_points_have_runs_of_their_own_stored_ones_or_those_of_another_point():
    _, [stored] = writes.create_experiment({"name": "before"}, {"fedit": 3})
    sweep = new_sweep(
        planned(0, stored={"fedit": stored}, plora=3),
        planned(1, same_as={"plora": 0, "fedit": 0}),
        planned(2, fedit=3, plora=3),
    )
    rows = {(row.point, row.strategy): row for row in sweeps.runs(sweep)}
    assert len(rows) == 6 and rows[0, "fedit"].run == rows[1, "fedit"].run == stored
    assert rows[0, "plora"].run == rows[1, "plora"].run
    own = {key for key, row in rows.items() if not row.reused}
    assert own == {(0, "plora"), (2, "fedit"), (2, "plora")}
    assert reads.run(rows[0, "plora"].run).experiment.config["strategies"] == ["plora"]
    assert rows[2, "fedit"].experiment == rows[2, "plora"].experiment
    names = {row.name: row.in_sweep for row in reads.experiment_names()}
    assert names == {"before": False, "point 0": True, "point 2": True}
    assert [e.name for e in reads.latest_experiments(9)] == ["before"]
    assert sweeps.sweep_of(rows[2, "fedit"].experiment) == sweep
    assert sweeps.sweep_of(reads.run(stored).experiment_id) is None
    with pytest.raises(sweeps.NoSuchSweep, match="no sweep 99"):
        sweeps.sweep(99)


def test_no_run_of_a_paused_sweep_begins_and_others_do():
    sweep = new_sweep(planned(0, fedit=3), planned(1, fedit=3))
    _, [other] = writes.create_experiment({"name": "other"}, {"fedit": 3})
    first, second = (row.run for row in sweeps.runs(sweep))
    assert writes.claim_next(7) == [first]
    assert sweeps.set_paused(sweep, True) and not sweeps.set_paused(sweep, True)
    assert writes.claim_next(7) == [other]
    assert writes.claim_next(7) == [] and reads.next_queued() is None
    assert sweeps.set_paused(sweep, False)
    assert reads.next_queued().id == second and writes.claim_next(7) == [second]


def test_the_time_left_is_that_of_rounds_done_for_runs_that_train_together():
    sweep = new_sweep(*(planned(point, fedit=2, plora=2) for point in range(3)))
    assert sweeps.progress(sweep).seconds_left is None
    runs = [row.run for row in sweeps.runs(sweep)]
    worker = writes.add_worker(1, 1.0, takes_queue=True)
    writes.claim_next(worker)
    for run_id in runs[:2]:
        assert writes.start_run(run_id)
        commit(run_id, 1, 4.0)
    now = sweeps.progress(sweep)
    assert (now.done, now.planned) == (2, 12)
    assert now.seconds_left == 4 + 2 * 8, "two more rounds for each experiment, not for each run"
    mark_interrupted()  # that worker is gone: what had begun is no part of what is left
    assert sweeps.progress(sweep).seconds_left == 2 * 8


def test_a_run_that_is_deleted_leaves_its_sweep():
    sweep = new_sweep(planned(0, fedit=1), planned(1, fedit=1))
    gone, kept = (row.run for row in sweeps.runs(sweep))
    with writing() as session:
        session.execute(text("DELETE FROM events"))
        session.execute(delete(Run).where(Run.id == gone))
    assert [row.run for row in sweeps.runs(sweep)] == [kept]
    sweeps.add_points(sweep, [planned(0, fedit=1)])
    assert {row.point for row in sweeps.runs(sweep)} == {0, 1}


def test_a_database_from_before_sweeps_opens(home):
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    home.mkdir()
    with create_engine(database_url()).begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0008")
        columns = "name, config, bundled, created_at"
        values = "'old', '{}', 0, '2026-01-01 00:00:00'"
        connection.execute(text(f"INSERT INTO experiments ({columns}) VALUES ({values})"))
    with reading() as session:
        assert session.query(Experiment.name).scalar() == "old"
    assert sweeps.sweeps() == [] and reads.next_queued() is None
