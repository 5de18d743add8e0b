"""Rows of dataclasses as Flower carries them: a column for every field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from flwr.app import ConfigRecord

Row = TypeVar("Row")


@dataclass(frozen=True)
class Trouble:
    """Something wrong with a client's own data: what and how often, and no example."""

    kind: str
    count: int
    left_out: bool

    def __str__(self) -> str:
        return f"{'left out' if self.left_out else 'noted'}: {self.kind} ({self.count:,})"


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
