"""Everything that is written to the database, in short transactions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from db.engine import writing
from db.tables import (
    Artifact,
    Base,
    Client,
    ClientRound,
    Evaluation,
    Event,
    Experiment,
    Prediction,
    Preparation,
    Round,
    Run,
    Worker,
    now,
)


def create_experiment(
    config: dict[str, Any], rounds: dict[str, int], worker_id: int | None = None
) -> tuple[int, list[int]]:
    """Insert an experiment and a queued run for each strategy in ``rounds``; returns their ids.

    Runs with a ``worker_id`` belong to that worker; others wait for the one with the queue.
    """
    with writing() as session:
        experiment = Experiment(name=config["name"], config=config)
        session.add(experiment)
        session.flush()
        runs = [
            Run(experiment_id=experiment.id, strategy=key, rounds=n, worker_id=worker_id)
            for key, n in rounds.items()
        ]
        session.add_all(runs)
        session.flush()
        session.add_all(Event(run_id=run.id, text="Waiting for its turn.") for run in runs)
        return experiment.id, [run.id for run in runs]


def add_worker(pid: int, process_started: float, takes_queue: bool) -> int:
    """Register this process; returns the worker's id."""
    with writing() as session:
        worker = Worker(pid=pid, process_started=process_started, takes_queue=takes_queue)
        session.add(worker)
        session.flush()
        return worker.id


def beat(worker_id: int) -> None:
    """Say that the worker is alive."""
    with writing() as session:
        session.execute(update(Worker).where(Worker.id == worker_id).values(heartbeat_at=now()))


def remove_worker(worker_id: int) -> None:
    """Forget a worker that leaves or is found dead."""
    with writing() as session:
        session.execute(delete(Worker).where(Worker.id == worker_id))


def ask_to_prepare(config: dict[str, Any]) -> None:
    """Note the config that a form shows, in place of the one before."""
    with writing() as session:
        session.merge(Preparation(id=1, config=config, asked_at=now(), ready_at=None))


def mark_prepared(config: dict[str, Any]) -> None:
    """Note that all is ready, unless the form has moved on."""
    with writing() as session:
        asked = session.get_one(Preparation, 1)
        if asked.config == config:
            asked.ready_at = now()


def claim_next(worker_id: int) -> int | None:
    """Give the oldest queued run that nobody owns to this worker; None when there is none."""
    with writing() as session:
        oldest = (
            select(Run.id)
            .where(Run.status == "queued", Run.worker_id.is_(None))
            .order_by(Run.id)
            .limit(1)
            .scalar_subquery()
        )
        return session.execute(
            update(Run).where(Run.id == oldest).values(worker_id=worker_id).returning(Run.id)
        ).scalar()


def start_run(run_id: int, trainable_parameters: int) -> None:
    """Mark a run as running."""
    with writing() as session:
        run = session.get_one(Run, run_id)
        run.status, run.error, run.trainable_parameters = "running", None, trainable_parameters
        run.started_at, run.finished_at = now(), None
        session.add(Event(run_id=run_id, text=f"Started from round {run.rounds_done}."))


def end_run(
    run_id: int,
    status: str,
    *,
    error: str | None = None,
    wall_seconds: float = 0.0,
    peak_rss_mb: float | None = None,
) -> None:
    """Mark a run as done, stopped, failed or interrupted; ``wall_seconds`` adds to what it has."""
    words = {
        "done": "Done.",
        "stopped": "Stopped on request; the rounds so far are kept.",
        "failed": f"Failed: {error}",
        "interrupted": "The worker is gone; the rounds so far are kept and the run can be resumed.",
    }
    with writing() as session:
        run = session.get_one(Run, run_id)
        run.status, run.error, run.worker_id = status, error, None
        run.finished_at, run.stop_requested = now(), False
        run.wall_seconds += wall_seconds
        run.peak_rss_mb = max(run.peak_rss_mb or 0, peak_rss_mb or 0) or None
        level = {"failed": "error", "interrupted": "warning"}.get(status, "info")
        session.add(Event(run_id=run_id, level=level, text=words[status]))


def request_stop(run_id: int) -> None:
    """Ask for a run to stop after its current round; one that still waits is stopped at once."""
    with writing() as session:
        run = session.get_one(Run, run_id)
        if run.status == "queued" and run.worker_id is None:
            run.status, run.finished_at = "stopped", now()
            session.add(Event(run_id=run_id, text="Taken out of the queue."))
        elif run.status in ("queued", "running"):
            run.stop_requested = True
            session.add(Event(run_id=run_id, text="Asked to stop after this round."))


def requeue(run_id: int) -> None:
    """Put a stopped, failed or interrupted run back into the queue."""
    with writing() as session:
        run = session.get_one(Run, run_id)
        run.status, run.worker_id, run.finished_at = "queued", None, None
        run.stop_requested, run.error = False, None
        session.add(Event(run_id=run_id, text="Back in the queue, to go on where it ended."))


def add_event(run_id: int, text: str, level: str = "info") -> None:
    """Note something that happened, in plain words."""
    with writing() as session:
        session.add(Event(run_id=run_id, text=text, level=level))


def save_clients(experiment_id: int, profiles: Iterable[Any]) -> None:
    """Store the clients' profiles: dataclasses with the columns of ``clients``."""
    rows = [Client(experiment_id=experiment_id, **asdict(profile)) for profile in profiles]
    with writing() as session:
        mine = Client.client.in_([row.client for row in rows])
        session.execute(delete(Client).where(Client.experiment_id == experiment_id, mine))
        session.add_all(rows)


@dataclass(frozen=True)
class RoundRecord:
    """All that a round adds; committed in one transaction, after its checkpoint is on disk."""

    round: Round
    clients: list[ClientRound]
    evaluations: list[Evaluation]
    artifacts: list[Artifact]


def save_round(record: RoundRecord) -> None:
    """Commit one finished round."""
    with writing() as session:
        session.merge(record.round)
        _replace(session, record.clients, "round", "client")
        _replace(session, record.evaluations, "round", "client", "variant")
        _replace(session, record.artifacts, "path")
        session.get_one(Run, record.round.run_id).rounds_done = record.round.round


def save_evaluations(rows: Iterable[Evaluation]) -> None:
    """Commit evaluations that belong to no further round of training."""
    with writing() as session:
        _replace(session, list(rows), "round", "client", "variant")


def save_predictions(rows: Iterable[Prediction]) -> None:
    """Commit the answers on the clients' test items."""
    with writing() as session:
        _replace(session, list(rows), "client", "variant")


def _replace(session: Session, rows: Sequence[Base], *keys: str) -> None:
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
