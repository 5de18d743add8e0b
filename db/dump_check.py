"""Rows from elsewhere, held against the tables: their columns, types, limits and keys."""

from __future__ import annotations

import json
import math
from datetime import datetime
from functools import cache
from typing import Any, get_args, get_type_hints

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import JSON, Column

from db.bundles import TABLES, Dump
from db.tables import Base

_LARGEST = 2**53  # what JSON and every database hold exactly
_LONGEST = 100_000  # letters of a text, or of a JSON value, without a limit of its own
_NEEDED = ("experiments", "runs")  # a table that came later has no rows in an older dump


class BadRows(ValueError):
    """What is wrong with dumped rows, in one sentence."""


def checked(dump: object) -> Dump:
    """Return a dump whose rows the tables can take, with a list for each table. Raises BadRows."""
    if not isinstance(dump, dict) or not all(isinstance(rows, list) for rows in dump.values()):
        raise BadRows("the rows are no lists by the name of their table")
    known = {table.__tablename__: table for table in TABLES}
    if unknown := dump.keys() - known.keys():
        raise BadRows(f"there is no table '{min(map(str, unknown))[:40]}'")
    if missing := [name for name in _NEEDED if not dump.get(name)]:
        raise BadRows(f"there are no rows of '{missing[0]}'")
    for name, rows in dump.items():
        for row in rows:
            _check_row(known[name], row)
        _check_keys(known[name], rows)
    return {name: dump.get(name, []) for name in known}


def _check_row(table: type[Base], row: object) -> None:
    if not isinstance(row, dict):
        raise BadRows(f"a row of '{table.__tablename__}' is no row")
    for column in Base.metadata.tables[table.__tablename__].columns:
        where = f"{table.__tablename__}.{column.name}"
        if column.name in row:
            if problem := _problem(table, column, row[column.name]):
                raise BadRows(f"{where} {problem}")
        elif not (column.nullable or column.default or column.server_default):
            raise BadRows(f"a row lacks {where}")


def _check_keys(table: type[Base], rows: list[dict[str, Any]]) -> None:
    names = [column.name for column in table.__table__.primary_key]
    keys = [tuple(row.get(name) for name in names) for row in rows]
    if len(set(keys)) < len(keys):
        raise BadRows(f"two rows of '{table.__tablename__}' have the same {' and '.join(names)}")
    if len({frozenset(row) for row in rows}) > 1:
        raise BadRows(f"the rows of '{table.__tablename__}' have different columns")


def _problem(table: type[Base], column: Column[Any], value: object) -> str:
    """Say what is wrong with a value; "" where nothing is."""
    if value is None:
        return "" if column.nullable else "is empty"
    if isinstance(column.type, JSON):
        return _json_problem(_json_type(table, column.name), value)
    kind = column.type.python_type
    longest = getattr(column.type, "length", None) or _LONGEST
    if kind is datetime:
        return _time_problem(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) <= _LARGEST else math.inf
    if type(value) is not kind:
        return f"is no {_NAMES[kind]}"
    if isinstance(value, str) and len(value) > longest:
        return f"is longer than {longest:,} letters"
    if kind is int and not 0 <= value <= _LARGEST:  # type: ignore[operator]
        return "is below 0 or too large"
    if isinstance(value, float) and not math.isfinite(value):
        return "is no finite number"
    return ""


_NAMES = {bool: "yes or no", int: "whole number", float: "number", str: "text"}


@cache
def _json_type(table: type[Base], column: str) -> TypeAdapter[Any]:
    """Return the type that a table declares for a column of JSON, such as ``dict[str, int]``."""
    [declared] = get_args(get_type_hints(table)[column])  # of Mapped[…]
    return TypeAdapter(declared)


def _json_problem(kind: TypeAdapter[Any], value: object) -> str:
    try:
        kind.validate_python(value, strict=True)
    except ValidationError:
        return "cannot be read"
    return "is too long" if len(json.dumps(value)) > _LONGEST else ""


def _time_problem(value: object) -> str:
    try:
        naive = isinstance(value, str) and datetime.fromisoformat(value).tzinfo is None
    except ValueError:
        naive = False
    return "" if naive else "is no time in UTC, such as 2026-01-31T12:00:00"
