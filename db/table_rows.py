"""Rows of some runs as whole tables: what data frames are made of."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, select

from db.engine import reading
from db.tables import Base, Client, ClientRound, Evaluation, Prediction, Round, Run, RunRow

_OF_RUN: dict[str, type[RunRow]] = {
    "rounds": Round,
    "client_rounds": ClientRound,
    "evaluations": Evaluation,
    "predictions": Prediction,
}


@dataclass(frozen=True)
class TableRows:
    """A table's columns by name with their Python types, and its rows in order of its key."""

    columns: dict[str, type]
    rows: list[tuple[Any, ...]]


def of_runs(table: str, run_ids: Collection[int]) -> TableRows:
    """Return ``rounds``, ``client_rounds``, ``evaluations`` or ``predictions`` of these runs.

    Each row begins with its experiment, run and strategy.
    """
    stored = _OF_RUN[table]
    columns = _columns(stored, "run_id")
    named = (Run.experiment_id.label("experiment"), Run.id.label("run"), Run.strategy)
    with reading() as session:
        of_them = select(*named, *columns.values()).join(Run, Run.id == stored.run_id)
        of_them = of_them.where(Run.id.in_(run_ids)).order_by(*stored.__table__.primary_key)
        rows = [tuple(row) for row in session.execute(of_them)]
    return TableRows({"experiment": int, "run": int, "strategy": str, **_types(columns)}, rows)


def of_clients(experiment_ids: Collection[int]) -> TableRows:
    """Return what each client of these experiments holds."""
    columns = _columns(Client, "experiment_id")
    keys = (Client.experiment_id, Client.client)
    with reading() as session:
        of_them = select(Client.experiment_id.label("experiment"), *columns.values())
        of_them = of_them.where(Client.experiment_id.in_(experiment_ids)).order_by(*keys)
        rows = [tuple(row) for row in session.execute(of_them)]
    return TableRows({"experiment": int, **_types(columns)}, rows)


def _columns(table: type[Base], left_out: str) -> dict[str, ColumnElement[Any]]:
    return {c.name: c for c in table.__table__.columns if c.name != left_out}


def _types(columns: dict[str, ColumnElement[Any]]) -> dict[str, type]:
    return {name: column.type.python_type for name, column in columns.items()}
