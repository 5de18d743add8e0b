import importlib
import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from db import reads, writes
from db.engine import HEAD, DatabaseTooNew, _engine, database_url, reading, writing
from db.tables import Base, Evaluation, Experiment, Prediction, Run
from engine.jobs import queue
from engine.jobs.worker import registered


def new_experiment(**rounds: int) -> tuple[int, list[int]]:
    return writes.create_experiment({"name": "x", "clients": 2}, rounds or {"fedit": 3})


def test_migrations_give_the_tables_of_the_models():
    with writing():
        pass
    with _engine(database_url()).connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, Base.metadata) == []
        assert context.get_current_revision() == HEAD


def test_a_database_of_a_newer_lab_is_refused_in_a_sentence(tmp_path, monkeypatch):
    with writing() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    _engine.cache_clear()
    with pytest.raises(DatabaseTooNew, match=r"newer lab \(step 9999; this one knows \d{4}\)"):
        reads.runs()
    _engine.cache_clear()


def test_sqlite_is_in_wal_mode_and_readers_cannot_write():
    with writing() as session:
        assert session.connection().exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert session.connection().exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    with pytest.raises(OperationalError, match="readonly"), reading() as session:
        session.add(Experiment(name="x", config={}))
        session.flush()


def test_the_queue_is_served_by_experiments_in_order_and_each_run_once():
    _, [first, second] = new_experiment(fedit=3, plora=3)
    _, [third] = new_experiment(local=3)
    assert [writes.claim_next(7) for _ in range(3)] == [[first, second], [third], []]


def test_many_writers_that_read_first_all_succeed():
    _, [run_id] = new_experiment()

    def add_seconds(_: int) -> None:
        with writing() as session:
            run = session.get_one(Run, run_id)  # reads, then writes
            run.wall_seconds += 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add_seconds, range(80)))
    assert reads.run(run_id).wall_seconds == 80


def test_a_failed_transaction_leaves_nothing():
    with pytest.raises(RuntimeError), writing() as session:
        session.add(Experiment(name="x", config={}))
        raise RuntimeError
    assert len(reads.experiment_names()) == 0


def test_runs_of_dead_workers_are_interrupted_and_those_of_living_ones_are_not():
    _, [mine, dead, waiting] = new_experiment(fedit=3, plora=3, local=3)
    with registered(takes_queue=False) as worker:
        # A worker with this process's pid but another start time: the pid was reused.
        gone = writes.add_worker(os.getpid(), 1.0, takes_queue=True)
        with writing() as session:
            session.get_one(Run, mine).worker_id = worker.id
            session.get_one(Run, dead).worker_id = gone
        for run_id in (mine, dead):
            assert writes.start_run(run_id)
        queue.mark_interrupted()
        states = [reads.run(run_id).status for run_id in (mine, dead, waiting)]
        assert states == ["running", "interrupted", "queued"]
        assert [w.id for w in reads.workers()] == [worker.id]
    assert reads.workers() == []


def test_stopping_and_resuming_in_every_state():
    _, [run_id] = new_experiment()
    writes.request_stop(run_id)
    assert reads.run(run_id).status == "stopped"
    queue.resume(run_id)
    assert reads.run(run_id).status == "queued"
    with pytest.raises(queue.NotPossible, match="queued"):
        queue.resume(run_id)
    writes.end_run(run_id, "done")
    with pytest.raises(queue.NotPossible, match="done"):
        queue.stop(run_id)
    with pytest.raises(reads.NoSuchRun, match="no run 99"):
        queue.stop(99)


def test_summary_measures_the_model_that_a_client_uses():
    _, [run_id] = new_experiment(plora=3)
    rows = [
        Evaluation(
            run_id=run_id, round=round_, client=client, variant=variant, scope=scope,
            loss=1.0, accuracy=accuracy, samples=10,
        )
        for client, shift in ((0, 0.0), (1, 0.2))
        for round_, variant, scope, accuracy in (
            (0, "base", "own", 0.1), (0, "personal", "own", 0.1),
            (3, "personal", "own", 0.5 + shift), (3, "global", "own", 0.3),
            (3, "personal", "pooled", 0.4), (3, "global", "pooled", 0.2),
        )
    ]  # fmt: skip
    writes.save_evaluations(rows)
    found = reads.summary(run_id)
    assert found.base_accuracy == pytest.approx(0.1)
    assert found.global_accuracy == pytest.approx(0.3)
    assert found.personal_accuracy == pytest.approx(0.6)
    assert found.worst_client_accuracy == pytest.approx(0.5)
    assert found.pooled_accuracy == pytest.approx(0.4)
    flat = reads.round_client_rows(run_id)
    assert [(r["round"], r["client"]) for r in flat] == [(0, 0), (0, 1), (3, 0), (3, 1)]
    assert flat[-1]["personal_accuracy"] == pytest.approx(0.7) and flat[-1]["samples"] is None


def test_predictions_can_be_written_again():
    _, [run_id] = new_experiment()
    for answer in ("red", "blue"):
        writes.save_predictions(
            [
                Prediction(
                    run_id=run_id, client=0, variant="base", item="0-test-1", question="?",
                    reference="blue", answer=answer, confidence=0.5, correct=answer == "blue",
                )
            ]
        )  # fmt: skip
    [row] = reads.predictions(run_id, 0)
    assert row.answer == "blue" and row.correct


def test_an_experiment_from_before_faults_asks_about_none():
    step = importlib.import_module("db.migrations.versions.0008_faults")
    with writing() as session:
        session.add_all([Experiment(name="old", config={"clients": 2})])
        session.add_all([Experiment(name="new", config={"clients": 2, "fault_share": 0.4})])
        session.flush()
        with Operations.context(MigrationContext.configure(session.connection())):
            step.upgrade()
    with reading() as session:
        shares = {e.name: e.config["fault_share"] for e in session.query(Experiment)}
    assert shares == {"old": 0.0, "new": 0.4}
