"""Rows of dataclasses as Flower carries them: a column for every field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, TypeVar

from flwr.app import ConfigRecord

Row = TypeVar("Row")


def to_columns(kind: type[Any], rows: Sequence[Any]) -> ConfigRecord:
    """Return rows of one dataclass, of plain values, as a record."""
    names = [field.name for field in fields(kind)]
    return ConfigRecord({name: [getattr(row, name) for row in rows] for name in names})


def to_rows(kind: type[Row], record: ConfigRecord) -> list[Row]:
    """Return the rows that ``to_columns`` was given."""
    columns: dict[str, Any] = dict(record)
    return [
        kind(**dict(zip(columns, values, strict=True)))
        for values in zip(*columns.values(), strict=True)
    ]
