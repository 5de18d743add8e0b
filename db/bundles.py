"""An experiment with all its rows as plain data, out of one database and into another."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import DateTime, insert, select

from db.engine import reading, writing
from db.tables import (
    Base,
    Client,
    ClientRound,
    Evaluation,
    Event,
    Experiment,
    Prediction,
    Round,
    Run,
    RunRow,
)

_OF_RUN: tuple[type[RunRow], ...] = (Round, ClientRound, Evaluation, Prediction, Event)


def has_bundled() -> bool:
    """Tell whether the example is in this database."""
    with reading() as session:
        return session.scalar(select(Experiment.id).where(Experiment.bundled).limit(1)) is not None


def dump(experiment_id: int) -> dict[str, list[dict[str, Any]]]:
    """Return all rows of an experiment by table name, ready for JSON."""
    with reading() as session:

        def rows(table: type[Base], *where: Any) -> list[dict[str, Any]]:
            stored = session.execute(select(table.__table__).where(*where)).mappings()
            return [{key: _plain(value) for key, value in row.items()} for row in stored]

        runs = rows(Run, Run.experiment_id == experiment_id, Run.deleted_at.is_(None))
        ids = [run["id"] for run in runs]
        return {
            "experiments": rows(Experiment, Experiment.id == experiment_id),
            "clients": rows(Client, Client.experiment_id == experiment_id),
            "runs": runs,
            **{table.__tablename__: rows(table, table.run_id.in_(ids)) for table in _OF_RUN},
        }


def load(rows: dict[str, list[dict[str, Any]]]) -> dict[int, int]:
    """Insert dumped rows under new ids, marked as bundled; return old run id -> new run id."""
    with writing() as session:
        experiment = {**_typed(Experiment, rows["experiments"][0]), "bundled": True}
        del experiment["id"]
        inserted = insert(Experiment).values(**experiment).returning(Experiment.id)
        new_experiment = session.execute(inserted).scalar_one()
        for client in rows["clients"]:
            values = {**_typed(Client, client), "experiment_id": new_experiment}
            session.execute(insert(Client).values(**values))
        run_ids: dict[int, int] = {}
        for run in rows["runs"]:
            values = {**_typed(Run, run), "experiment_id": new_experiment}
            del values["id"]
            inserted = insert(Run).values(**values).returning(Run.id)
            run_ids[run["id"]] = session.execute(inserted).scalar_one()
        for table in _OF_RUN:
            for row in rows[table.__tablename__]:
                values = {**_typed(table, row), "run_id": run_ids[row["run_id"]]}
                values.pop("id", None)
                session.execute(insert(table).values(**values))
        return run_ids


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _typed(table: type[Base], row: dict[str, Any]) -> dict[str, Any]:
    """Return the values of the columns that there are: an older dump may have had others."""
    columns = {column.name: column.type for column in table.__table__.columns}
    return {
        key: datetime.fromisoformat(value)
        if value and isinstance(columns[key], DateTime)
        else value
        for key, value in row.items()
        if key in columns
    }
