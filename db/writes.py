"""Everything that is written to the database, in short transactions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, case, delete, func, select, update
from sqlalchemy.orm import Session

from db.engine import writing
from db.reads import has_lost_its_worker, is_held
from db.tables import (
    ALIVE,
    RESUMABLE,
    Client,
    ClientRound,
    Crossing,
    Evaluation,
    Event,
    Experiment,
    Prediction,
    Preparation,
    Round,
    Run,
    RunRow,
    Worker,
    now,
)


def create_experiment(
    config: dict[str, Any],
    rounds: dict[str, int],
    worker_id: int | None = None,
    resolved: dict[str, Any] | None = None,
    notes: Sequence[str] = (),
) -> tuple[int, list[int]]:
    """Insert an experiment and a queued run for each strategy in ``rounds``; return their ids.

    Runs with a ``worker_id`` belong to that worker; others wait for the one with the queue.
    ``notes`` are the first events of every run.
    """
    with writing() as session:
        runs = add_experiment(session, config, rounds, worker_id, resolved, notes)
        return runs[0].experiment_id, [run.id for run in runs]


def add_experiment(
    session: Session,
    config: dict[str, Any],
    rounds: dict[str, int],
    worker_id: int | None,
    resolved: dict[str, Any] | None,
    notes: Sequence[str],
) -> list[Run]:
    """Insert what ``create_experiment`` does, within a transaction; return the runs."""
    experiment = Experiment(name=config["name"], config=config, resolved=resolved)
    session.add(experiment)
    session.flush()
    runs = [
        Run(experiment_id=experiment.id, strategy=key, rounds=n, worker_id=worker_id)
        for key, n in rounds.items()
    ]
    session.add_all(runs)
    session.flush()
    texts = (*notes, "Waiting for its turn.")
    session.add_all(Event(run_id=run.id, text=text) for run in runs for text in texts)
    return runs


def set_resolved(experiment_id: int, resolved: dict[str, Any]) -> None:
    """Store what an experiment of an older lab means; what is there already stays."""
    with writing() as session:
        same = (Experiment.id == experiment_id, Experiment.resolved.is_(None))
        session.execute(update(Experiment).where(*same).values(resolved=resolved))


def add_worker(pid: int, process_started: float, takes_queue: bool, host: str = "") -> int:
    """Register a process and return the worker's id; a process that is there already keeps its row.

    So the one who starts a worker can register it, before it can do so itself.
    """
    same_start = func.abs(Worker.process_started - process_started) < 1  # as clocks are set
    same = (Worker.pid == pid, same_start, Worker.host == host, Worker.takes_queue)
    with writing() as session:
        if takes_queue and (known := session.scalar(select(Worker.id).where(*same))):
            return known
        worker = Worker(
            pid=pid, process_started=process_started, takes_queue=takes_queue, host=host
        )
        session.add(worker)
        session.flush()
        return worker.id


def remove_workers(workers: Iterable[Worker]) -> None:
    """Forget workers that left or died; what they had begun, or nobody's worker has, is over.

    One transaction: a row that has meanwhile become another process's stays, with its runs.
    """
    with writing() as session:
        for worker in workers:
            same_start = Worker.process_started == worker.process_started
            same = (Worker.id == worker.id, Worker.pid == worker.pid, same_start)
            session.execute(delete(Worker).where(*same))
        ended = (
            update(Run)
            .where(has_lost_its_worker())
            .values(_ended() | {"status": "interrupted"})
            .returning(Run.id)
        )
        for run_id in session.scalars(ended):
            session.add(Event(run_id=run_id, text=_END_WORDS["interrupted"]))
        # What is paused stays so, for any worker.
        alone = (Run.status == "paused", Run.worker_id.not_in(select(Worker.id)))
        session.execute(update(Run).where(*alone).values(worker_id=None))


def ask_to_prepare(config: dict[str, Any], resolved: dict[str, Any] | None = None) -> None:
    """Note the config that a form shows, in place of the one before."""
    with writing() as session:
        asked = Preparation(id=1, config=config, resolved=resolved, asked_at=now(), ready_at=None)
        session.merge(asked)


def mark_prepared(config: dict[str, Any], resolved: dict[str, Any] | None = None) -> None:
    """Note that all is ready, unless the form has moved on."""
    with writing() as session:
        asked = session.get_one(Preparation, 1)
        if (asked.config, asked.resolved) == (config, resolved):
            asked.ready_at = now()


def claim_next(worker_id: int) -> list[int]:
    """Give the queued runs of the experiment that waits longest to this worker; [] if none does."""
    with writing() as session:
        waiting = select(Run.experiment_id).where(*_waits(), ~is_held()).order_by(Run.id).limit(1)
        return _claim(session, worker_id, session.scalar(waiting))


def claim_more(worker_id: int, experiment_id: int) -> list[int]:
    """Give this worker the queued runs of an experiment that it is at."""
    with writing() as session:
        return _claim(session, worker_id, experiment_id)


def _claim(session: Session, worker_id: int, experiment_id: int | None) -> list[int]:
    claimed = update(Run).where(Run.experiment_id == experiment_id, *_waits())
    return sorted(session.scalars(claimed.values(worker_id=worker_id).returning(Run.id)))


def _waits() -> tuple[ColumnElement[bool], ...]:
    """Make the conditions for a run that any worker may take."""
    return Run.status == "queued", Run.worker_id.is_(None)


def start_run(run_id: int) -> bool:
    """Mark a queued run as running; return False where it is queued no more."""
    with writing() as session:
        values = {"status": "running", "error": None, "started_at": now(), "finished_at": None}
        started = update(Run).where(Run.id == run_id, Run.status == "queued").values(values)
        rounds_done = session.scalar(started.returning(Run.rounds_done))
        if rounds_done is None:
            return False
        session.add(Event(run_id=run_id, text=f"Started from round {rounds_done}."))
        return True


def set_trainable_parameters(run_id: int, number: int) -> None:
    """Note how many numbers a client trains."""
    with writing() as session:
        values = {"trainable_parameters": number}
        session.execute(update(Run).where(Run.id == run_id).values(values))


_END_WORDS = {
    "done": "Done.",
    "stopped": "Stopped on request; the rounds so far are kept.",
    "failed": "Failed: {}",
    "interrupted": "The worker is gone; the rounds so far are kept and the run can be resumed.",
}


def end_run(
    run_id: int,
    status: str,
    *,
    error: str | None = None,
    wall_seconds: float = 0.0,
    peak_rss_mb: float | None = None,
) -> None:
    """Mark a live run as done, stopped, failed or interrupted; ``wall_seconds`` are added."""
    values = _ended() | {"status": status, "error": error}
    values |= {"wall_seconds": Run.wall_seconds + wall_seconds}
    if peak_rss_mb:
        lower = func.coalesce(Run.peak_rss_mb, 0.0) < peak_rss_mb
        values |= {"peak_rss_mb": case((lower, peak_rss_mb), else_=Run.peak_rss_mb)}
    with writing() as session:
        live = update(Run).where(Run.id == run_id, Run.status.in_(ALIVE)).values(values)
        if session.scalar(live.returning(Run.id)):
            session.add(Event(run_id=run_id, text=_END_WORDS[status].format(error)))


def request_stop(run_id: int) -> None:
    """Ask for a run to stop; one that waits for a worker is stopped at once.

    A paused one is queued for a worker to have its models answer.
    """
    with writing() as session:
        stopped = (
            update(Run)
            .where(Run.id == run_id, *_waits())
            .values(status="stopped", finished_at=now())
        )
        asked = update(Run).where(Run.id == run_id, Run.status.in_(ALIVE), ~Run.stop_requested)
        status = case((Run.status == "paused", "queued"), else_=Run.status)
        if session.scalar(stopped.returning(Run.id)):
            session.add(Event(run_id=run_id, text="Taken out of the queue."))
        elif session.scalar(asked.values(stop_requested=True, status=status).returning(Run.id)):
            session.add(Event(run_id=run_id, text="Asked to stop."))


def requeue(run_id: int) -> bool:
    """Put a stopped, failed or interrupted run back into the queue; False where it is no such."""
    with writing() as session:
        again = (
            update(Run)
            .where(Run.id == run_id, Run.status.in_(RESUMABLE), Run.deleted_at.is_(None))
            .values(_ended() | {"status": "queued", "finished_at": None, "error": None})
        )
        if session.scalar(again.returning(Run.id)) is None:
            return False
        text = "Back in the queue, to go on where it ended."
        session.add(Event(run_id=run_id, text=text))
        return True


def _ended() -> dict[str, Any]:
    """Return what holds of every run that has come to an end, or starts anew."""
    return {"worker_id": None, "stop_requested": False, "finished_at": now()}


def set_config(experiment_id: int, config: dict[str, Any]) -> None:
    """Change what an experiment is run with, where it makes no difference to its numbers."""
    with writing() as session:
        session.get_one(Experiment, experiment_id).config = config


def add_event(run_id: int, text: str) -> None:
    """Note something that happened, in plain words."""
    with writing() as session:
        session.add(Event(run_id=run_id, text=text))


def save_clients(experiment_id: int, profiles: Iterable[Any]) -> None:
    """Store the clients' profiles: dataclasses with the columns of ``clients``."""
    rows = [Client(experiment_id=experiment_id, **asdict(profile)) for profile in profiles]
    with writing() as session:
        mine = Client.client.in_([row.client for row in rows])
        session.execute(delete(Client).where(Client.experiment_id == experiment_id, mine))
        session.add_all(rows)


@dataclass(frozen=True)
class RoundRecord:
    """All rows that a round adds; committed in one transaction, after its checkpoint is on disk."""

    round: Round
    clients: list[ClientRound]
    evaluations: list[Evaluation]
    crossings: list[Crossing] = field(default_factory=list)


def save_round(record: RoundRecord) -> None:
    """Commit one finished round."""
    with writing() as session:
        session.merge(record.round)
        _replace(session, record.clients, "round", "client")
        _replace(session, record.evaluations, "round", "client", "variant")
        _add_crossings(session, record.crossings)
        session.get_one(Run, record.round.run_id).rounds_done = record.round.round


def save_evaluations(rows: Iterable[Evaluation]) -> None:
    """Commit evaluations that belong to no further round of training."""
    with writing() as session:
        _replace(session, list(rows), "round", "client", "variant")


def save_predictions(rows: Iterable[Prediction]) -> None:
    """Commit the answers on the clients' test items."""
    with writing() as session:
        _replace(session, list(rows), "client", "variant")


def save_crossings(rows: Iterable[Crossing]) -> None:
    """Add messages to those that have been counted."""
    with writing() as session:
        _add_crossings(session, list(rows))


def _add_crossings(session: Session, rows: Sequence[Crossing]) -> None:
    if not rows:
        return
    counted = session.scalars(select(Crossing).where(Crossing.run_id == rows[0].run_id))
    known = {(row.client, row.kind, row.to_server): row for row in counted}
    for row in rows:
        before = known.get((row.client, row.kind, row.to_server))
        if before is None:
            session.add(row)
            continue
        before.messages += row.messages
        before.bytes += row.bytes
        before.parts = dict(Counter(before.parts) + Counter(row.parts))


def _replace(session: Session, rows: Sequence[RunRow], *keys: str) -> None:
    """Insert rows of one run and one table, after all that have the same values of ``keys``.

    A round that is done again, after a crash between its parts, so leaves nothing twice; a SELECT
    for every row, as ``merge`` makes it, would take a fifth of a second for a thousand rows.
    """
    if not rows:
        return
    table = type(rows[0])
    same = [getattr(table, key).in_({getattr(row, key) for row in rows}) for key in keys]
    session.execute(delete(table).where(table.run_id == rows[0].run_id, *same))
    session.add_all(rows)
