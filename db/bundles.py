"""An experiment with all its rows as plain data, out of one database and into another."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import DateTime, insert, select

from db.engine import reading, writing
from db.tables import OF_RUN, Base, Client, Experiment, Run

TABLES: tuple[type[Base], ...] = (Experiment, Client, Run, *OF_RUN)
Dump = dict[str, list[dict[str, Any]]]  # rows by the name of their table


def has_bundled() -> bool:
    """Tell whether the example is in this database."""
    with reading() as session:
        return session.scalar(select(Experiment.id).where(Experiment.bundled).limit(1)) is not None


def dump(experiment_id: int) -> Dump:
    """Return all rows of an experiment by table name, in order of their keys, ready for JSON."""
    with reading() as session:

        def rows(table: type[Base], *where: Any) -> list[dict[str, Any]]:
            of_it = select(table.__table__).where(*where).order_by(*table.__table__.primary_key)
            stored = session.execute(of_it).mappings()
            return [{key: _plain(value) for key, value in row.items()} for row in stored]

        runs = rows(Run, Run.experiment_id == experiment_id, Run.deleted_at.is_(None))
        ids = [run["id"] for run in runs]
        return {
            "experiments": rows(Experiment, Experiment.id == experiment_id),
            "clients": rows(Client, Client.experiment_id == experiment_id),
            "runs": runs,
            **{table.__tablename__: rows(table, table.run_id.in_(ids)) for table in OF_RUN},
        }


def load(
    rows: Dump, place: Callable[[dict[int, int]], None], *, bundled: bool = False
) -> tuple[int, dict[int, int]]:
    """Insert dumped rows under new ids; return the experiment, and new run ids by the old ones.

    ``place`` is given the run ids and puts files where they belong before the rows are committed;
    what it raises leaves the database as it was. ``bundled``: it is the lab's own example.
    """
    with writing() as session:
        values = {**_typed(Experiment, rows["experiments"][0]), "bundled": bundled}
        del values["id"]
        inserted = insert(Experiment).values(**values).returning(Experiment.id)
        experiment = session.execute(inserted).scalar_one()
        for client in rows["clients"]:
            values = {**_typed(Client, client), "experiment_id": experiment}
            session.execute(insert(Client).values(**values))
        run_ids: dict[int, int] = {}
        for run in rows["runs"]:
            values = {**_typed(Run, run), "experiment_id": experiment}
            del values["id"]
            inserted = insert(Run).values(**values).returning(Run.id)
            run_ids[run["id"]] = session.execute(inserted).scalar_one()
        for table in OF_RUN:  # an older dump has fewer of them
            moved = [_typed(table, row) for row in rows.get(table.__tablename__, [])]
            for values in moved:
                values["run_id"] = run_ids[values["run_id"]]
                values.pop("id", None)
            if moved:
                session.execute(insert(table), moved)
        place(run_ids)
        return experiment, run_ids


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
